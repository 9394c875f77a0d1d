import keras
import numpy as np
import pytest

from keras_compress.pruning import Criterion, UniformAllocation, prune_weights
from tests.compress.pruning.models import kernels, num_zeros, sequential, weights


class Signed(Criterion):
    def score(self, weight):
        return weight


def test_criterion_and_allocation_decide():
    model = sequential()
    before = kernels(model)
    report = prune_weights(model, 0.5, criterion=Signed(), allocation=UniformAllocation())
    for old, new, mask in zip(before, kernels(model), report.masks.values(), strict=True):
        np.testing.assert_array_equal(new, np.where(mask, old, 0.0))
        assert (~mask).sum() == old.size // 2
        assert old[~mask].max() < old[mask].min()


def test_only_the_chosen_layers_and_only_kernels():
    model = sequential()
    before = weights(model)
    report = prune_weights(model, 0.5, layers="dense_1")
    after = weights(model)
    for index in (0, 1, 3):
        np.testing.assert_array_equal(after[index], before[index])
    assert list(report.touched.values()) == [10]
    assert report.skipped == {model.layers[0].path: "not selected"}
    assert (after[2] == 0).sum() == 5


def test_frozen_models_are_pruned_too():
    model = sequential()
    model.trainable = False
    prune_weights(model, 0.5)
    assert num_zeros(model) == 35


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"sparsity": 1.0}, ValueError, "sparsity"),
        ({"sparsity": -0.1}, ValueError, "sparsity"),
        ({"sparsity": "half"}, TypeError, "sparsity"),
        ({"sparsity": 0.5, "criterion": abs}, TypeError, "criterion"),
        ({"sparsity": 0.5, "allocation": 0.1}, TypeError, "allocation"),
        ({"sparsity": 0.5, "layers": "nowhere"}, ValueError, "nowhere"),
        ({"sparsity": 0.99, "allocation": UniformAllocation(0.1)}, ValueError, "min_keep"),
    ],
)
def test_bad_arguments_change_nothing(arguments, error, message):
    model = sequential()
    before = weights(model)
    with pytest.raises(error, match=message):
        prune_weights(model, **arguments)
    for one, two in zip(before, weights(model), strict=True):
        np.testing.assert_array_equal(one, two)


def test_nan_weights_are_named():
    model = sequential()
    model.layers[0].kernel.assign(np.full((6, 10), np.nan, "float32"))
    with pytest.raises(ValueError, match="dense/kernel.*NaN"):
        prune_weights(model, 0.5)


def test_unbuilt_model():
    with pytest.raises(ValueError, match="not built"):
        prune_weights(keras.Sequential([keras.layers.Dense(2)]), 0.5)
