import keras
import numpy as np
import pytest
from keras import layers

from keras_reweight.core.linear_mode_connectivity import linear_mode_connectivity
from keras_reweight.core.mode_connectivity import ModeConnectivity

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(30, 4)).astype("float32"), RNG.integers(0, 3, 30)


def network(seed, norm=False):
    middle = [layers.BatchNormalization()] if norm else []
    model = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(6, kernel_initializer="zeros"),
            *middle,
            layers.ReLU(),
            layers.Dense(3, kernel_initializer="zeros"),
        ]
    )
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        value = rng.normal(size=variable.shape)
        variable.assign(np.abs(value) if norm else value)
    return model


def logits(weights, norm):
    weights = [np.asarray(weight, "float64") for weight in weights]
    hidden = X @ weights[0] + weights[1]
    if norm:
        gamma, beta = weights[2:4]
        hidden = (hidden - hidden.mean(0)) / np.sqrt(hidden.var(0) + 1e-3) * gamma + beta
    return np.maximum(hidden, 0.0) @ weights[-2] + weights[-1]


@pytest.mark.parametrize("norm", [False, True])
def test_errors_and_losses_of_the_points_between(norm):
    models = [network(seed, norm) for seed in (1, 2)]
    before = [model.get_weights() for model in models]
    found = linear_mode_connectivity(*models, (X, Y), points=4, batch_size=30)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    losses = linear_mode_connectivity(*models, (X, Y), points=4, loss=loss, batch_size=30)
    for t, error, value in zip(found.positions, found.values, losses.values, strict=True):
        scores = logits([(1 - t) * a + t * b for a, b in zip(*before, strict=True)], norm)
        assert abs(error - np.mean(scores.argmax(-1) != Y)) < 0.04
        log_p = scores - np.log(np.exp(scores).sum(-1, keepdims=True))
        np.testing.assert_allclose(value, -log_p[np.arange(30), Y].mean(), rtol=1e-4)
    for model, weights in zip(models, before, strict=True):
        assert all(map(np.array_equal, model.get_weights(), weights))


def test_batches_and_one_hot_labels_change_nothing():
    models = [network(seed) for seed in (1, 2)]
    whole = linear_mode_connectivity(*models, (X, Y), points=3)
    batches = [(X[rows], np.eye(3)[Y[rows]]) for rows in (slice(7), slice(7, 30))]
    parts = linear_mode_connectivity(*models, batches, points=3)
    np.testing.assert_allclose(whole.values, parts.values, rtol=1e-12)


def test_the_sign_of_connectivity():
    bump = ModeConnectivity(np.linspace(0, 1, 3), np.array([0.2, 0.7, 0.4]))
    dip = ModeConnectivity(np.linspace(0, 1, 3), np.array([0.2, 0.1, 0.4]))
    assert bump.connectivity == pytest.approx(-0.4) and bump.barrier == pytest.approx(0.4)
    assert dip.connectivity == pytest.approx(0.2) and dip.barrier == 0.0


def test_bad_arguments_leave_the_models_as_they_are():
    model = network(0)
    before = model.get_weights()
    with pytest.raises(ValueError, match="`data` must hold labels"):
        linear_mode_connectivity(model, network(1), X, points=2)
    with pytest.raises(ValueError, match="`model2`"):
        linear_mode_connectivity(model, network(1, norm=True), (X, Y))
    assert all(map(np.array_equal, before, model.get_weights()))
