"""Named properties a result must have; each gets the outputs and a way to compute them again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from keras_reweight.core.testing.compare import assert_close

Compute = Callable[[Mapping[str, Any]], np.ndarray]


def nonnegative(compute: Compute, inputs: Mapping[str, Any]) -> None:
    """No value below zero."""
    found = compute(inputs)
    assert (found >= 0).all(), f"negative values, the smallest is {found.min()!r}."


def sum_one(compute: Compute, inputs: Mapping[str, Any]) -> None:
    """All values add up to one."""
    assert_close(np.sum(compute(inputs), dtype="float64"), 1.0, "the sum")


def mean_one(compute: Compute, inputs: Mapping[str, Any]) -> None:
    """The mean of all values is one."""
    assert_close(np.mean(compute(inputs), dtype="float64"), 1.0, "the mean")


def permutation_equivariant(compute: Compute, inputs: Mapping[str, Any]) -> None:
    """Samples in another order give the same values in that order."""
    order = _order(inputs)
    assert_close(
        compute(_permuted(inputs, order)),
        compute(inputs)[order],
        "the values of permuted samples",
    )


def permutation_invariant(compute: Compute, inputs: Mapping[str, Any]) -> None:
    """Samples in another order give the same value."""
    permuted = _permuted(inputs, _order(inputs))
    assert_close(compute(permuted), compute(inputs), "the value of permuted samples")


def idempotent(compute: Compute, inputs: Mapping[str, Any]) -> None:
    """Applied to its own result it changes nothing."""
    once = compute(inputs)
    first = next(iter(inputs))
    again = compute({**inputs, first: once})
    assert np.array_equal(once, again), "applied twice it gives another result."


def _order(inputs):
    length = next(len(value) for value in inputs.values() if np.ndim(value) > 0)
    return np.random.default_rng(7).permutation(length)


def _permuted(inputs, order):
    return {
        name: value[order] if np.ndim(value) > 0 and len(value) == len(order) else value
        for name, value in inputs.items()
    }


INVARIANTS: dict[str, Callable[[Compute, Mapping[str, Any]], None]] = {
    function.__name__: function
    for function in (
        nonnegative,
        sum_one,
        mean_one,
        permutation_equivariant,
        permutation_invariant,
        idempotent,
    )
}


def check_invariants(names: Iterable[str], compute: Compute, inputs: Mapping[str, Any]) -> None:
    """Run the named invariants; an unknown name is an error of the catalog row."""
    for name in names:
        assert name in INVARIANTS, f"no invariant {name!r}; there are {sorted(INVARIANTS)}."
        try:
            INVARIANTS[name](compute, inputs)
        except AssertionError as error:
            raise AssertionError(f"not {name}: {error}") from error
