"""max_variance_subset: every subset tried."""

import itertools

import numpy as np
import pytest

from keras_reweight.core.testing.backends import evaluate
from keras_reweight.functional import max_variance_subset

VALUES = np.array([0, 1, 1, 0, 0.5, 0.2, 0.9, 0.1], "float32")


def reference(values, num_kept):
    """The first best of all subsets; for values without ties."""
    subsets = itertools.combinations(range(len(values)), num_kept)
    return np.array(max(subsets, key=lambda subset: np.var(values[list(subset)])))


def subset(values, num_kept):
    return evaluate(lambda v: max_variance_subset(v, num_kept), values)


def test_known_subset():
    found = subset(VALUES, 4)
    np.testing.assert_array_equal(found, [0, 1, 2, 3])
    assert np.var(VALUES[found]) == 0.25


@pytest.mark.parametrize("num_kept", [2, 3, 5, 9])
def test_no_subset_is_better(num_kept):
    rng = np.random.default_rng(num_kept)
    for values in (rng.normal(size=9), rng.gamma(0.5, size=9), 100 + rng.normal(size=9)):
        values = values.astype("float32")
        found = subset(values, num_kept)
        np.testing.assert_array_equal(found, reference(values.astype("float64"), num_kept))


def test_groups_one_by_one():
    values = np.random.default_rng(0).normal(size=(3, 7)).astype("float32")
    found = subset(values, 3)
    for row, group in zip(found, values, strict=True):
        np.testing.assert_array_equal(row, subset(group, 3))


def test_equal_values_and_sizes_of_one():
    equal = np.full(5, 3.0, "float32")
    found = subset(equal, 3)
    assert len(set(found.tolist())) == 3
    np.testing.assert_array_equal(subset(VALUES, 1).shape, (1,))
    assert len(set(subset(VALUES, 8).tolist())) == 8
