"""QuantileAggregator: its three resolutions, and that it learns which model to trust."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_reweight as kr
from tests.reweight.functional.test_monotone_quantiles import reference as ordered

LEVELS = [0.1, 0.25, 0.5, 0.75, 0.9]


def reference(inputs, weights, resolution="medium", monotone=None):
    samples, models, levels = inputs.shape
    logits = weights[0]
    shares = np.exp(logits) / np.exp(logits).sum(axis=0)
    found = np.zeros((samples, levels))
    for level in range(levels):
        for model in range(models):
            if resolution == "fine":
                for other in range(levels):
                    found[:, level] += (
                        shares[model * levels + other, level] * inputs[:, model, other]
                    )
            else:
                column = 0 if resolution == "coarse" else level
                found[:, level] += shares[model, column] * inputs[:, model, level]
    return found if monotone is None else ordered(found, monotone)


@pytest.mark.parametrize("resolution", ["coarse", "medium", "fine"])
def test_formula_with_weights_that_differ(resolution):
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(4, 3, 5)).astype("float32")
    layer = kr.layers.QuantileAggregator(resolution)
    layer.build(inputs.shape)
    logits = rng.normal(size=layer.weight_logits.shape)
    layer.weight_logits.assign(logits.astype("float32"))
    found = ops.convert_to_numpy(layer(inputs))
    np.testing.assert_allclose(found, reference(inputs, [logits], resolution), rtol=1e-4, atol=1e-6)


def test_starts_as_the_plain_mean():
    inputs = np.random.default_rng(0).normal(size=(4, 3, 5)).astype("float32")
    for resolution in ("coarse", "medium"):
        found = ops.convert_to_numpy(kr.layers.QuantileAggregator(resolution)(inputs))
        np.testing.assert_allclose(found, inputs.mean(axis=1), rtol=1e-5, atol=1e-6)


def test_learns_which_model_is_right_and_keeps_quantiles_in_order():
    rng = np.random.default_rng(1)
    y = rng.normal(size=256).astype("float32")
    right = np.tile(np.quantile(y, LEVELS), (256, 1))
    stacked = np.stack([right, rng.normal(size=right.shape)], axis=1).astype("float32")
    model = keras.Sequential(
        [keras.Input((2, 5)), kr.layers.QuantileAggregator("medium", monotone="isotonic")]
    )
    loss = kr.losses.QuantileLoss(LEVELS)
    model.compile(keras.optimizers.Adam(0.2), loss)
    model.fit(stacked, y, epochs=3, verbose=0)
    learned = model.predict(stacked, verbose=0)
    assert (np.diff(learned, axis=-1) >= -1e-6).all()
    best = min(float(loss(y, stacked[:, k])) for k in range(2))
    assert float(loss(y, learned)) <= 1.01 * best
    shares = ops.convert_to_numpy(ops.softmax(model.layers[0].weight_logits.value, axis=0))
    assert (shares[0] > 0.8).all()


def test_wrong_rank():
    with pytest.raises(ValueError, match="models, quantiles"):
        kr.layers.QuantileAggregator().build((None, 5))
