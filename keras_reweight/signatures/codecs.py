"""How one change of one weight is stored: floats, int8, int8 factors, or the largest numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from keras_reweight.core.validation import check_choice, check_integer, check_number
from keras_reweight.signatures.architecture import Architecture
from keras_reweight.signatures.encoded import Encoded, as_matrix, decode, positions

__all__ = [
    "CODECS",
    "Encoded",
    "channel_axis",
    "check_options",
    "decode",
    "encode",
    "encode_all",
    "from_parts",
]

_FLOATS = {name: np.dtype(name) for name in ("float64", "float32", "float16")}
CODECS = (*_FLOATS, "int8", "low_rank_int8", "sparse_int8")

_LEVELS = 127
_TINY = np.finfo(np.float32).tiny
_GAPS = 256


def check_options(
    codec: Any, rank: Any = None, energy: Any = 0.9, density: Any = None
) -> dict[str, Any]:
    """Arguments of `encode`; raises for those that do not fit together."""
    check_choice("codec", codec, CODECS)
    if rank is not None:
        check_integer("rank", rank, minimum=1)
        if codec != "low_rank_int8":
            raise ValueError(f"`rank`={rank!r} is for codec 'low_rank_int8', got {codec!r}.")
    check_number("energy", energy, exclusive_minimum=0.0, maximum=1.0)
    if density is not None:
        check_number("density", density, exclusive_minimum=0.0, maximum=1.0)
        if codec != "sparse_int8":
            raise ValueError(f"`density`={density!r} is for codec 'sparse_int8', got {codec!r}.")
    return {
        "codec": codec,
        "rank": rank,
        "energy": energy,
        "density": 0.1 if density is None else density,
    }


def encode(
    array: np.ndarray,
    codec: str,
    *,
    rank: int | None = None,
    energy: float = 0.9,
    density: float = 0.1,
) -> Encoded:
    """Store `array`; arrays of rank 0 and 1 stay float32 where the codec has int8 parts.

    Args:
        array: Finite float64 array of any shape.
        codec: One of `CODECS`.
        rank: Rank of the factors of `"low_rank_int8"`; `None` takes the smallest one that keeps
            `energy` of the squared sum.
        energy: Share of the squared sum to keep.
        density: Share of the numbers that `"sparse_int8"` keeps.
    """
    if codec not in _FLOATS and (array.ndim < 2 or array.size == 0):
        codec = "float32"
    if codec in _FLOATS:
        _check_range(array, codec)
        return _make(codec, array.shape, d=array.astype(_FLOATS[codec]))
    if codec == "low_rank_int8":
        factors = _factors(array, rank, energy)
        if factors is not None:
            left, right = factors
            a, sa = _to_int8(left, axis=1)
            b, sb = _to_int8(right, axis=0)
            return _make(codec, array.shape, a=a, sa=sa, b=b, sb=sb)
    axis = channel_axis(array.shape)
    if codec == "sparse_int8":
        gaps, codes, scale = _largest(array, density)
        if 2 * len(gaps) < array.size + 4 * (array.shape[axis] - 1):
            return _make(codec, array.shape, g=gaps, q=codes, s=scale)
    codes, scales = _to_int8(array, axis)
    return _make("int8", array.shape, axis, q=codes, s=scales)


def encode_all(
    architecture: Architecture,
    arrays: Mapping[int, np.ndarray] | Iterable[tuple[int, np.ndarray]],
    codec: str,
    **options: Any,
) -> dict[int, Encoded]:
    """Store arrays by position, or pairs one after another; an error names the weight."""
    entries = {}
    for index, array in arrays.items() if isinstance(arrays, Mapping) else arrays:
        try:
            if not np.isfinite(array).all():
                raise ValueError("it holds NaN or infinity")
            entries[index] = encode(array, codec, **options)
        except ValueError as error:
            raise ValueError(f"The change of weight {architecture[index]}: {error}.") from error
    return entries


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
    if codec == "sparse_int8" and len(parts["g"]):
        last, size = int(positions(parts["g"])[-1]), int(np.prod(shape))
        if last >= size:
            raise ValueError(f"part 'g' leads to position {last} of {size} numbers")
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
    if codec in _FLOATS:
        return {"d": (_FLOATS[codec], shape)}
    if len(shape) < 2:
        raise ValueError(f"codec {codec!r} needs a shape of two axes or more, found {shape}")
    int8, float32 = np.dtype(np.int8), np.dtype(np.float32)
    if codec == "int8":
        if type(axis) is not int or not 0 <= axis < len(shape):
            raise ValueError(f"axis {axis!r} is not one of shape {shape}")
        return {"q": (int8, shape), "s": (float32, (shape[axis],))}
    if codec == "sparse_int8":
        count = parts["g"].shape if "g" in parts and parts["g"].ndim == 1 else (0,)
        return {"g": (np.dtype(np.uint8), count), "q": (int8, count), "s": (float32, (1,))}
    rows, columns = as_matrix(shape)
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
    _check_range(scales, "float32")
    scales = scales.astype(np.float32)
    # A channel of zeros, or one so small that float32 cannot hold its step, becomes zeros.
    empty = scales < _TINY
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


def _largest(array, density):
    """Gaps between the largest numbers, their codes, and their scale."""
    flat = array.reshape(-1)
    sizes = np.abs(flat)
    count = max(1, round(density * flat.size))
    limit = np.partition(sizes, flat.size - count)[flat.size - count]
    chosen = sizes > limit
    # Of equal ones the first.
    chosen[np.flatnonzero(sizes == limit)[: count - np.count_nonzero(chosen)]] = True
    codes, scale = _to_int8(np.where(chosen, flat, 0.0)[None], axis=0)
    kept = np.flatnonzero(codes[0])
    skipped = np.diff(kept, prepend=-1) - 1
    # A gap that one byte cannot hold is made of entries of code zero, which change nothing.
    ends = np.cumsum(skipped // _GAPS + 1) - 1
    length = int(ends[-1]) + 1 if len(ends) else 0
    gaps, stored = np.full(length, _GAPS - 1, np.uint8), np.zeros(length, np.int8)
    gaps[ends] = skipped % _GAPS
    stored[ends] = codes[0, kept]
    return gaps, stored, scale


def _along(values, axis, ndim):
    shape = [1] * ndim
    shape[axis] = -1
    return values.reshape(shape)


def _check_range(array, dtype):
    largest = np.abs(array).max(initial=0.0)
    if largest > float(np.finfo(dtype).max):
        wider = "float64" if dtype == "float32" else "float32"
        raise ValueError(f"a change of {largest} does not fit into {dtype}; use codec {wider!r}")
