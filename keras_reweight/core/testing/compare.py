"""Results as named NumPy arrays, and when two of them count as equal."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

#: What "equal to the reference" means in float32.
RELATIVE = 1e-5
#: Smallest relative change that counts as an effect of an argument or of data.
EFFECT = 1e-4


class Arrays(dict):
    """Named arrays, as `to_arrays` gives them."""


def to_arrays(value: Any) -> Arrays:
    """Flatten tensors, models, records and containers; other objects are skipped."""
    return value if isinstance(value, Arrays) else Arrays(_flatten(value, "value"))


def snapshot(value: Any) -> Arrays:
    """`to_arrays` with copies, which later changes do not reach."""
    return Arrays({name: np.array(array) for name, array in to_arrays(value).items()})


def _flatten(value, path):
    if value is None or isinstance(value, (str, bytes)):
        return
    if isinstance(value, keras.Model):
        value = list(value.weights)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = vars(value)
    if isinstance(value, (bool, int, float, np.number, np.bool_, np.ndarray)):
        yield path, np.asarray(value)
    elif ops.is_tensor(value) or isinstance(value, keras.Variable):
        yield path, ops.convert_to_numpy(value)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _flatten(item, f"{path}/{key}")
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from _flatten(item, f"{path}/{index}")


def assert_close(
    actual: Any, expected: Any, what: str, *, relative: float = RELATIVE, of_largest: float = 1e-6
) -> None:
    """Raise unless equal up to `relative` of each entry plus `of_largest` of the largest one."""
    actual = np.asarray(actual, "float64")
    expected = np.asarray(expected, "float64")
    assert actual.shape == expected.shape, (
        f"{what}: shape {actual.shape}, expected {expected.shape}."
    )
    if not actual.size:
        return
    finite = np.isfinite(expected)
    largest = np.abs(expected[finite]).max() if finite.any() else 0.0
    allowed = relative * np.abs(expected) + of_largest * largest
    # Equal infinities and NaN in the same place are equal too.
    same = (actual == expected) | (np.isnan(actual) & np.isnan(expected))
    with np.errstate(invalid="ignore"):
        error = np.where(same, 0.0, np.abs(actual - expected))
        bad = ~(error <= np.where(np.isnan(allowed), 0.0, allowed))
    if bad.any():
        index = tuple(int(i) for i in np.argwhere(bad)[0])
        raise AssertionError(
            f"{what}: {int(bad.sum())} of {bad.size} values differ, first at {index}: "
            f"{actual[index]!r}, expected {expected[index]!r} (relative {relative})."
        )


def assert_all_close(actual: Any, expected: Any, what: str, **tolerance: float) -> None:
    """`assert_close` for trees of arrays."""
    actual, expected = to_arrays(actual), to_arrays(expected)
    assert sorted(actual) == sorted(expected), (
        f"{what}: results {sorted(actual)}, expected {sorted(expected)}."
    )
    for key in expected:
        assert_close(actual[key], expected[key], f"{what} ({key})", **tolerance)


def assert_finite(value: Any, what: str) -> None:
    """Raise if any number in a tree is NaN or infinite."""
    for key, array in to_arrays(value).items():
        if array.dtype.kind not in "SUO":  # bfloat16 is of kind "V"
            assert np.isfinite(np.asarray(array, "float64")).all(), f"{what} ({key}) is not finite."


def differ(first: Any, second: Any) -> bool:
    """Whether two trees are apart by more than rounding can explain."""
    return not _same(
        first, second, lambda a, b: np.allclose(a, b, rtol=EFFECT, atol=1e-9, equal_nan=True)
    )


def identical(first: Any, second: Any) -> bool:
    """Whether two trees hold the same numbers, bit for bit (NaN equals NaN)."""
    return _same(first, second, lambda a, b: np.array_equal(a, b, equal_nan=True))


def _same(first, second, equal):
    first, second = to_arrays(first), to_arrays(second)
    if sorted(first) != sorted(second):
        return False
    pairs = [(np.asarray(first[k], "float64"), np.asarray(second[k], "float64")) for k in first]
    return all(a.shape == b.shape and equal(a, b) for a, b in pairs)
