import numpy as np
import pytest

from keras_compress.pruning import prune_magnitude
from tests.compress.pruning.models import kernels, num_zeros, sequential


def reference_global(arrays, sparsity):
    """Zero the smallest of all values, by a stable sort in float64."""
    flat = np.concatenate([array.ravel() for array in arrays]).astype("float64")
    flat[np.argsort(np.abs(flat), kind="stable")[: round(sparsity * flat.size)]] = 0.0
    parts = np.split(flat, np.cumsum([array.size for array in arrays])[:-1])
    return [part.reshape(array.shape) for part, array in zip(parts, arrays, strict=True)]


def reference_layer(arrays, sparsity):
    return [reference_global([array], sparsity)[0] for array in arrays]


# Without a minimum a layer may lose all its weights.
@pytest.mark.filterwarnings("ignore::keras_compress.pruning.LayerCollapseWarning")
@pytest.mark.parametrize("sparsity", [0.0, 0.33, 0.9])
@pytest.mark.parametrize(
    ("scope", "reference"), [("global", reference_global), ("layer", reference_layer)]
)
def test_agrees_with_numpy(scope, reference, sparsity):
    model = sequential()
    expected = reference(kernels(model), sparsity)
    report = prune_magnitude(model, sparsity, scope=scope, min_keep=0.0)
    for new, wanted, mask in zip(kernels(model), expected, report.masks.values(), strict=True):
        np.testing.assert_array_equal(new, wanted.astype("float32"))
        np.testing.assert_array_equal(mask, wanted != 0.0)


def test_minimum_protects_the_small_layer():
    model = sequential()
    model.layers[1].kernel.assign(np.full((10, 1), 1e-3, "float32"))
    prune_magnitude(model, 0.8, min_keep=0.1)
    assert [(kernel != 0).sum() for kernel in kernels(model)] == [7, 7]
    assert num_zeros(model) == 56


def test_again_is_the_same():
    model = sequential()
    prune_magnitude(model, 0.7)
    before = kernels(model)
    prune_magnitude(model, 0.7)
    for one, two in zip(before, kernels(model), strict=True):
        np.testing.assert_array_equal(one, two)


def test_unknown_scope():
    with pytest.raises(ValueError, match="scope"):
        prune_magnitude(sequential(), 0.5, scope="channel")
