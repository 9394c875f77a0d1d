import warnings

import numpy as np
import pytest

from keras_compress.pruning import (
    Criterion,
    GlobalAllocation,
    LayerCollapseWarning,
    Magnitude,
    UniformAllocation,
    prune_iteratively,
)
from tests.compress.pruning.models import kernels, num_zeros, sequential, weights


def reference_levels(sparsity, rounds):
    return [1.0 - (1.0 - sparsity) ** (k / rounds) for k in range(1, rounds + 1)]


class Product(Criterion):
    """Scores that depend on what is left; counts its calls and what was zero then."""

    def __init__(self, fail_at=None):
        self.zeros, self.fail_at = [], fail_at

    def scores(self, model, variables):
        values = kernels(model)
        self.zeros.append(sum(int((value == 0).sum()) for value in values))
        if len(self.zeros) == self.fail_at:
            raise KeyboardInterrupt
        return [np.abs(value) * np.abs(value).sum() for value in values]


def test_rounds_follow_the_exponential_levels():
    model, criterion = sequential(), Product()
    allocation = GlobalAllocation(min_keep=0.1)
    report = prune_iteratively(model, 0.8, criterion=criterion, rounds=4, allocation=allocation)
    expected = [round(level * 70) for level in reference_levels(0.8, 4)]
    assert criterion.zeros == [0, *expected[:-1]]
    assert num_zeros(model) == expected[-1] == 56
    assert sum(int((~mask).sum()) for mask in report.masks.values()) == 56


def test_survivors_keep_their_values_and_one_round_is_one_shot():
    model = sequential()
    before = kernels(model)
    report = prune_iteratively(
        model, 0.5, criterion=Magnitude(), rounds=1, allocation=UniformAllocation()
    )
    for old, new, mask in zip(before, kernels(model), report.masks.values(), strict=True):
        np.testing.assert_array_equal(new, np.where(mask, old, 0.0))
        assert np.abs(old[~mask]).max() < np.abs(old[mask]).min()


def test_a_collapse_that_is_an_error_leaves_the_model_as_it_was():
    model = sequential()
    model.layers[1].kernel.assign(np.full((10, 1), 1e-6, "float32"))
    before = weights(model)
    options = {"criterion": Magnitude(), "allocation": GlobalAllocation(min_keep=0.0)}
    with warnings.catch_warnings():
        warnings.simplefilter("error", LayerCollapseWarning)
        with pytest.raises(LayerCollapseWarning, match="prune_iteratively"):
            prune_iteratively(model, 0.5, rounds=2, **options)
    for one, two in zip(before, weights(model), strict=True):
        np.testing.assert_array_equal(one, two)


def test_an_interruption_leaves_the_model_as_it_was():
    model = sequential()
    before = weights(model)
    with pytest.raises(KeyboardInterrupt):
        prune_iteratively(model, 0.8, criterion=Product(fail_at=3), rounds=5)
    for one, two in zip(before, weights(model), strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"sparsity": 1.0}, ValueError, "sparsity"),
        ({"rounds": 0}, ValueError, "rounds"),
        ({"criterion": abs}, TypeError, "criterion"),
        ({"pattern": 2}, TypeError, "pattern"),
        ({"allocation": UniformAllocation(0.1), "sparsity": 0.99}, ValueError, "min_keep"),
    ],
)
def test_bad_arguments_change_nothing(arguments, error, message):
    model = sequential()
    before = weights(model)
    with pytest.raises(error, match=message):
        prune_iteratively(model, **{"sparsity": 0.5, **arguments})
    for one, two in zip(before, weights(model), strict=True):
        np.testing.assert_array_equal(one, two)
