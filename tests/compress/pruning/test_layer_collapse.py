import warnings

import keras
import numpy as np
from keras import layers

import keras_compress as kc
from keras_compress.pruning.layer_collapse import warn_of_collapse


def chain():
    model = keras.Sequential(
        [keras.Input((3,)), layers.Dense(4, name="first"), layers.Dense(2, name="second")]
    )
    for layer in model.layers:
        layer.kernel.assign(np.ones(layer.kernel.shape))
    return model


def names(found):
    return [path.split("/")[-2] for path in found]


def test_kernels_without_weights():
    model = chain()
    assert kc.pruning.collapsed_layers(model) == {}
    kernel = np.zeros((3, 4))
    model.layers[0].kernel.assign(kernel)
    assert list(kc.pruning.collapsed_layers(model).values()) == ["0 of 12 weights left"]
    kernel[1, 2] = -0.5
    model.layers[0].kernel.assign(kernel)
    assert not kc.pruning.collapsed_layers(model)
    assert names(kc.pruning.collapsed_layers(model, min_share=0.1)) == ["first"]
    assert not kc.pruning.collapsed_layers(model, min_share=0.1, layers="second")


def test_survivors_that_do_not_meet():
    model = chain()
    model.layers[0].kernel.assign(np.ones((3, 4)) * [1, 1, 0, 0])
    model.layers[1].kernel.assign(np.ones((4, 2)) * np.array([[0, 0, 1, 1]]).T)
    assert not kc.pruning.collapsed_layers(model)
    found = kc.pruning.collapsed_layers(model, trace=True)
    assert names(found) == ["first", "second"]
    assert set(found.values()) == {"no path from the input to the output leads through it"}


def test_one_shot_pruning_warns():
    model = chain()
    model.layers[0].kernel.assign(0.1 * np.ones((3, 4)))
    allocation = kc.pruning.GlobalAllocation(min_keep=0.0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", kc.pruning.LayerCollapseWarning)
        kc.pruning.prune_weights(model, 0.6, allocation=allocation)
    (warning,) = caught
    assert "first/kernel" in str(warning.message)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_collapse({"a": np.array([True, False])}, "test")
