"""Moving statistics after recalibration."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_compress as kc
from keras_reweight.core.forward import make_forward
from keras_reweight.core.testing.compare import identical, snapshot
from tests.compress.structured.networks import numbered


def network():
    return numbered(
        keras.Sequential(
            [
                keras.Input((4, 4, 3)),
                layers.BatchNormalization(name="first"),
                layers.Conv2D(5, 2, name="conv"),
                layers.Dropout(0.5),
                layers.BatchNormalization(name="second"),
                layers.GlobalAveragePooling2D(),
                layers.Dense(2, name="head"),
            ]
        )
    )


X = 3.0 + np.random.default_rng(0).normal(size=(24, 4, 4, 3)).astype("float32")


def test_statistics_are_those_of_the_data():
    model = network()
    kernel = snapshot({"w": model.get_layer("conv").get_weights()})
    assert kc.structured.recalibrate_batch_norm(model, X) == ["first", "second"]
    first, second = model.get_layer("first"), model.get_layer("second")
    values = X.astype("float64").reshape(-1, 3)
    np.testing.assert_allclose(
        ops.convert_to_numpy(first.moving_mean), values.mean(axis=0), rtol=1e-5
    )
    np.testing.assert_allclose(
        ops.convert_to_numpy(first.moving_variance), values.var(axis=0), rtol=1e-4
    )
    # One batch: what the second one got is what it gets from now on.
    maps = make_forward(lambda x: model.get_layer("conv")(first(x)))(X)
    maps = ops.convert_to_numpy(maps).reshape(-1, 5)
    np.testing.assert_allclose(
        ops.convert_to_numpy(second.moving_mean), maps.mean(axis=0), rtol=1e-4, atol=1e-4
    )
    np.testing.assert_allclose(
        ops.convert_to_numpy(second.moving_variance), maps.var(axis=0), rtol=1e-4
    )
    assert identical(kernel, snapshot({"w": model.get_layer("conv").get_weights()}))


def test_choice_and_refusals():
    model = network()
    before = model.get_layer("second").get_weights()
    assert kc.structured.recalibrate_batch_norm(model, X, layers="first", batch_size=9) == ["first"]
    np.testing.assert_array_equal(model.get_layer("second").get_weights()[3], before[3])
    bad = X.copy()
    bad[0] = np.inf
    state = snapshot({"model": model})
    with pytest.raises(ValueError, match="not finite"):
        kc.structured.recalibrate_batch_norm(model, bad, layers="first")
    assert identical(state, snapshot({"model": model}))
    model.get_layer("first").trainable = False
    with pytest.raises(ValueError, match="not trainable"):
        kc.structured.recalibrate_batch_norm(model, X, layers="first")
