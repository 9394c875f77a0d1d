"""One stored change of one weight, and how its numbers come back."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

# Float64 numbers worked on at a time: half a megabyte, which stays in the cache.
_BLOCK = 1 << 16


@dataclass(frozen=True)
class Encoded:
    """A float64 array in stored form.

    Attributes:
        codec: One of `codecs.CODECS`.
        shape: Shape of the array.
        parts: Stored arrays by part name; read-only.
        axis: Channel axis of `"int8"`, else `None`.
    """

    codec: str
    shape: tuple[int, ...]
    parts: Mapping[str, np.ndarray]
    axis: int | None = None

    @property
    def nbytes(self) -> int:
        return sum(part.nbytes for part in self.parts.values())


def decode(encoded: Encoded) -> np.ndarray:
    """The stored array in float64; the same bits on every machine."""
    rows, _ = as_matrix(encoded.shape)
    return row_reader(encoded)(0, rows).reshape(encoded.shape)


def as_matrix(shape: tuple[int, ...]) -> tuple[int, int]:
    """Rows and columns of an array of this shape, seen as a matrix with its last axis."""
    return math.prod(shape[:-1]), shape[-1] if shape else 1


def row_blocks(shape: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """Ranges of rows that cover an array of this shape in small steps."""
    rows, columns = as_matrix(shape)
    step = max(1, _BLOCK // max(1, columns))
    for start in range(0, rows, step):
        yield start, min(start + step, rows)


def row_reader(encoded: Encoded) -> Callable[[int, int], np.ndarray]:
    """A function from a range of rows to these rows in float64.

    What is read in pieces is, bit for bit, what is read at once; it is the caller's to change.
    """
    return {"int8": _int8, "low_rank_int8": _low_rank, "sparse_int8": _sparse}.get(
        encoded.codec, _dense
    )(encoded)


def positions(gaps: np.ndarray) -> np.ndarray:
    """Flat positions of the entries of `"sparse_int8"`: a gap counts what is skipped."""
    return np.cumsum(gaps.astype(np.int64) + 1) - 1


def _dense(encoded):
    values = encoded.parts["d"].reshape(as_matrix(encoded.shape))
    return lambda start, stop: values[start:stop].astype(np.float64)


def _int8(encoded):
    shape, axis = encoded.shape, encoded.axis
    codes = encoded.parts["q"].reshape(as_matrix(shape))
    scales = encoded.parts["s"].astype(np.float64)
    if axis == len(shape) - 1:
        return lambda start, stop: _scaled(codes[start:stop], scales)
    # All of a row belongs to one channel.
    inner = math.prod(shape[axis + 1 : -1])

    def read(start, stop):
        channels = np.arange(start, stop) // inner % shape[axis]
        return _scaled(codes[start:stop], scales[channels][:, None])

    return read


def _scaled(codes, scales):
    # A product of both types would convert in small pieces, which takes three times as long.
    rows = codes.astype(np.float64)
    rows *= scales
    return rows


def _low_rank(encoded):
    parts = {name: part.astype(np.float64) for name, part in encoded.parts.items()}
    left, right = parts["a"] * parts["sa"], parts["b"] * parts["sb"][:, None]

    def read(start, stop):
        total = np.zeros((stop - start, right.shape[1]))
        # One outer product after another: a BLAS product sums in an order of its own choice.
        for column, row in zip(left[start:stop].T, right, strict=True):
            total += np.outer(column, row)
        return total

    return read


def _sparse(encoded):
    _, columns = as_matrix(encoded.shape)
    where = positions(encoded.parts["g"])
    values = encoded.parts["q"] * encoded.parts["s"].astype(np.float64)

    def read(start, stop):
        rows = np.zeros((stop - start) * columns)
        first, last = np.searchsorted(where, (start * columns, stop * columns))
        rows[where[first:last] - start * columns] = values[first:last]
        return rows.reshape(stop - start, columns)

    return read
