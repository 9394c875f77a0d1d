"""ConditionalCSLoss takes features behind the targets."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_reweight as kr
from tests.reweight.functional import test_cs_divergence as divergence


def reference(y_true, y_pred, sigma=1.0, denominators="paper", sample_weight=None):
    targets = y_pred.shape[1]
    x, y = y_true[:, targets:], y_true[:, :targets]
    return divergence.reference(x, y, y_pred, sigma, denominators, sample_weight)


def test_official_numbers():
    x, y = divergence.official_variables()
    packed = np.concatenate([y, x], axis=1)
    found = kr.losses.ConditionalCSLoss(denominators="code")(packed, y + 0.1)
    np.testing.assert_allclose(ops.convert_to_numpy(found), 0.0129266, rtol=0, atol=1e-6)


def test_predictions_without_an_axis_are_one_target():
    x, y = divergence.official_variables()
    packed = np.concatenate([y[:, :1], x], axis=1)
    loss = kr.losses.ConditionalCSLoss(sigma="median")
    found = [ops.convert_to_numpy(loss(packed, p)) for p in (-y[:, 0], -y[:, :1])]
    np.testing.assert_array_equal(*found)


def test_targets_without_features_are_refused():
    with pytest.raises(ValueError, match="features"):
        kr.losses.ConditionalCSLoss()(np.zeros((4, 2)), np.zeros((4, 2)))


def test_trains_compiled():
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(0.1), kr.losses.ConditionalCSLoss())
    x = np.random.default_rng(0).normal(size=(16, 3)).astype("float32")
    packed = np.concatenate([x.sum(axis=1, keepdims=True), x], axis=1)
    history = model.fit(x, packed, batch_size=16, epochs=5, verbose=0).history["loss"]
    assert history[-1] < history[0]
