import copy

import keras
import numpy as np
import pytest

from keras_compress.callbacks import KeepSparsity
from keras_compress.pruning import prune_magnitude
from tests.compress.pruning.models import X, Y, fit, kernels, num_zeros, sequential, weights


def test_zeros_stay_and_the_rest_trains():
    model = sequential(keras.optimizers.AdamW(0.1))
    report = prune_magnitude(model, 0.8)
    keep = KeepSparsity()
    for clone in (keep, copy.deepcopy(keep)):
        history = fit(model, clone).history
        assert history["sparsity"] == [0.8]
        for kernel, mask in zip(kernels(model), report.masks.values(), strict=True):
            assert (kernel[~mask] == 0.0).all() and (kernel[mask] != 0.0).all()
    np.testing.assert_array_equal(list(keep.masks.values())[0], list(report.masks.values())[0])


def test_chosen_layers_only():
    model = sequential()
    model.layers[0].kernel.assign(np.zeros((6, 10), "float32"))
    fit(model, KeepSparsity("dense"))
    assert num_zeros(model) == 60


def test_nothing_to_keep():
    model = sequential()
    with pytest.raises(ValueError, match="none of the weights.*dense.*is zero"):
        fit(model, KeepSparsity())
    fit(model)


def test_evaluate_changes_nothing():
    model = sequential()
    prune_magnitude(model, 0.5)
    before = weights(model)
    model.evaluate(X, Y, verbose=0, callbacks=[KeepSparsity()])
    assert all(np.array_equal(a, b) for a, b in zip(before, weights(model), strict=True))


def test_config_round_trip():
    keep = KeepSparsity(["dense"], name="mine")
    config = keras.saving.serialize_keras_object(keep)
    again = keras.saving.deserialize_keras_object(config)
    assert again.get_config() == {"layers": ["dense"], "name": "mine"}


def test_zeros_of_depthwise_kernels_are_kept_too():
    keras.utils.set_random_seed(0)
    layers = [keras.layers.DepthwiseConv1D(3, name="depthwise"), keras.layers.Dense(1)]
    model = keras.Sequential([keras.Input((6, 4)), *layers])
    prune_magnitude(model, 0.5, layers="depthwise")
    model.compile("adam", "mse")
    x = np.random.default_rng(0).normal(size=(8, 6, 4)).astype("float32")
    model.fit(x, x[:, 2:, :1], verbose=0, callbacks=[KeepSparsity()])
    kernel = keras.ops.convert_to_numpy(model.get_layer("depthwise").kernel)
    assert (kernel == 0).sum() == 6
