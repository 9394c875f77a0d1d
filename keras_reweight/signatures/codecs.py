"""How one change of one weight is stored: exact float64, float32, int8, or int8 factors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_reweight.signatures.architecture import Architecture

CODECS = ("float64", "float32", "int8", "low_rank_int8")

_LEVELS = 127
_FLOAT32 = np.finfo(np.float32)


@dataclass(frozen=True)
class Encoded:
    """A float64 array in stored form.

    Attributes:
        codec: One of `CODECS`.
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


def encode(
    array: np.ndarray, codec: str, *, rank: int | None = None, energy: float = 0.9
) -> Encoded:
    """Store `array`; arrays of rank 0 and 1 stay float32 where the codec has int8 parts.

    Args:
        array: Finite float64 array of any shape.
        codec: One of `CODECS`.
        rank: Rank of the factors of `"low_rank_int8"`; `None` takes the smallest one that keeps
            `energy` of the squared sum.
        energy: Share of the squared sum to keep.
    """
    if codec == "float64":
        return _make(codec, array.shape, d=array)
    if codec == "float32" or array.ndim < 2 or array.size == 0:
        _check_float32_range(array)
        return _make("float32", array.shape, d=array.astype(np.float32))
    if codec == "low_rank_int8":
        factors = _factors(array, rank, energy)
        if factors is not None:
            left, right = factors
            a, sa = _to_int8(left, axis=1)
            b, sb = _to_int8(right, axis=0)
            return _make(codec, array.shape, a=a, sa=sa, b=b, sb=sb)
    axis = channel_axis(array.shape)
    codes, scales = _to_int8(array, axis)
    return _make("int8", array.shape, axis, q=codes, s=scales)


def encode_all(
    architecture: Architecture,
    arrays: Mapping[int, np.ndarray],
    codec: str,
    rank: int | None = None,
    energy: float = 0.9,
) -> dict[int, Encoded]:
    """Store arrays by position; an error names the weight."""
    entries = {}
    for index, array in arrays.items():
        try:
            if not np.isfinite(array).all():
                raise ValueError("it holds NaN or infinity")
            entries[index] = encode(array, codec, rank=rank, energy=energy)
        except ValueError as error:
            raise ValueError(f"The change of weight {architecture[index]}: {error}.") from error
    return entries


def decode(encoded: Encoded) -> np.ndarray:
    """The stored array in float64; the same bits on every machine."""
    parts = {name: part.astype(np.float64) for name, part in encoded.parts.items()}
    if encoded.codec in ("float64", "float32"):
        return parts["d"]
    if encoded.codec == "int8":
        return parts["q"] * _along(parts["s"], encoded.axis, len(encoded.shape))
    left, right = parts["a"] * parts["sa"], parts["b"] * parts["sb"][:, None]
    total = np.zeros((left.shape[0], right.shape[1]))
    # One outer product after another: a BLAS product sums in an order of its own choice.
    for column, row in zip(left.T, right, strict=True):
        total += np.outer(column, row)
    return total.reshape(encoded.shape)


def from_parts(
    codec: Any, shape: tuple[int, ...], axis: Any, parts: Mapping[str, np.ndarray]
) -> Encoded:
    """An `Encoded` from untrusted parts; `ValueError` says what is wrong with them."""
    if codec not in CODECS:
        raise ValueError(f"unknown codec {codec!r}; this version knows {list(CODECS)}")
    expected = _expected(codec, shape, axis, parts)
    if set(parts) != set(expected):
        raise ValueError(f"codec {codec!r} has parts {sorted(expected)}, found {sorted(parts)}")
    for name, (dtype, part_shape) in expected.items():
        part = parts[name]
        if part.dtype != dtype or part.shape != part_shape:
            raise ValueError(
                f"part {name!r} must be {dtype} of shape {part_shape}, found {part.dtype} of shape "
                f"{part.shape}"
            )
        if part.dtype == np.int8:
            if part.size and part.min() < -_LEVELS:
                raise ValueError(f"part {name!r} has codes outside -{_LEVELS}..{_LEVELS}")
        elif not np.isfinite(part).all():
            raise ValueError(f"part {name!r} is not finite")
        if name.startswith("s") and not (part > 0).all():
            raise ValueError(f"part {name!r} has scales that are not positive")
    return _make(codec, shape, axis, **parts)


def channel_axis(shape: tuple[int, ...]) -> int:
    """The axis with a scale of its own: the last, or the one before if the last has one entry.

    The last axis of a Keras kernel counts output channels; a depthwise kernel of multiplier 1
    counts them on the axis before.
    """
    return len(shape) - (2 if shape[-1] == 1 and len(shape) > 2 else 1)


def _expected(codec, shape, axis, parts):
    if codec != "int8" and axis is not None:
        raise ValueError(f"codec {codec!r} has no axis, found {axis!r}")
    if codec == "float64":
        return {"d": (np.dtype(np.float64), shape)}
    if codec == "float32":
        return {"d": (np.dtype(np.float32), shape)}
    if len(shape) < 2:
        raise ValueError(f"codec {codec!r} needs a shape of two axes or more, found {shape}")
    int8, float32 = np.dtype(np.int8), np.dtype(np.float32)
    if codec == "int8":
        if type(axis) is not int or not 0 <= axis < len(shape):
            raise ValueError(f"axis {axis!r} is not one of shape {shape}")
        return {"q": (int8, shape), "s": (float32, (shape[axis],))}
    rows, columns = int(np.prod(shape[:-1])), shape[-1]
    rank = parts["sa"].shape[0] if "sa" in parts and parts["sa"].ndim == 1 else 0
    if not 1 <= rank <= min(rows, columns):
        raise ValueError(f"rank {rank} is not in 1..{min(rows, columns)}")
    return {
        "a": (int8, (rows, rank)),
        "sa": (float32, (rank,)),
        "b": (int8, (rank, columns)),
        "sb": (float32, (rank,)),
    }


def _make(codec, shape, axis=None, **parts):
    stored = {}
    for name, part in parts.items():
        # Not `ascontiguousarray`, which turns a scalar into a vector.
        stored[name] = np.array(part, order="C", copy=True)
        stored[name].setflags(write=False)
    return Encoded(codec, tuple(shape), stored, axis)


def _to_int8(array, axis):
    other = tuple(i for i in range(array.ndim) if i != axis)
    scales = np.abs(array).max(axis=other) / _LEVELS
    _check_float32_range(scales)
    scales = scales.astype(np.float32)
    # A channel of zeros, or one so small that float32 cannot hold its step, becomes zeros.
    empty = scales < _FLOAT32.tiny
    scales = np.where(empty, np.float32(1.0), scales)
    steps = np.rint(array / _along(scales.astype(np.float64), axis, array.ndim))
    codes = np.where(_along(empty, axis, array.ndim), 0.0, np.clip(steps, -_LEVELS, _LEVELS))
    return codes.astype(np.int8), scales


def _factors(array, rank, energy):
    matrix = array.reshape(-1, array.shape[-1])
    rows, columns = matrix.shape
    left, singular, right = np.linalg.svd(matrix, full_matrices=False)
    if rank is None:
        kept = np.cumsum(singular**2)
        rank = int(np.searchsorted(kept, energy * kept[-1])) + 1
    rank = min(rank, len(singular))
    if rank * (rows + columns) >= rows * columns:
        return None
    root = np.sqrt(singular[:rank])
    return left[:, :rank] * root, root[:, None] * right[:rank]


def _along(values, axis, ndim):
    shape = [1] * ndim
    shape[axis] = -1
    return values.reshape(shape)


def _check_float32_range(array):
    largest = np.abs(array).max(initial=0.0)
    if largest > float(_FLOAT32.max):
        raise ValueError(f"a change of {largest} does not fit into float32; use codec 'float64'")
