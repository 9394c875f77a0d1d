"""Balancers in plain `fit`."""

import keras
import numpy as np
import pytest

import keras_reweight as kr
from tests.reweight.tasks import models

RATE = 0.05


def build(**options):
    model = models.model()
    model.compile(keras.optimizers.SGD(RATE), {"a": "mse", "b": "mse"}, **options)
    return model


def fit(model, callback, **options):
    run = {"batch_size": 4, "shuffle": False, "verbose": 0, "epochs": 2, **options}
    return model.fit(models.X, models.Y, callbacks=[callback], **run)


def reference(limits, learning_rate):
    """Kernels after two epochs of two steps, the multipliers a step late; their last values."""
    trunk, heads = models.TRUNK.copy(), [models.KERNELS[key].copy() for key in "ab"]
    weights, multiplier = np.ones(2), 0.0
    for rows in [slice(0, 4), slice(4, 8)] * 2:
        x = models.X[rows].astype("float64")
        errors = [x @ trunk @ heads[k] - models.Y["ab"[k]][rows] for k in range(2)]
        losses = [np.mean(error**2) for error in errors]
        slopes = [2.0 * weights[k] * errors[k] / len(x) for k in range(2)]
        by_trunk = sum(x.T @ slopes[k] @ heads[k].T for k in range(2))
        heads = [heads[k] - RATE * (x @ trunk).T @ slopes[k] for k in range(2)]
        trunk = trunk - RATE * by_trunk
        # `Lagrangian` gives the multiplier that it had, and then raises it.
        weights = np.array([1.0, multiplier])
        multiplier = max(0.0, multiplier + learning_rate * (losses[1] - limits[1]))
    return [trunk, *heads], weights


def test_steps_equal_hand_written_descent():
    model = build()
    callback = kr.callbacks.BalanceLosses(kr.tasks.Lagrangian([None, 0.3], learning_rate=0.4))
    history = fit(model, callback)
    kernels, weights = reference([None, 0.3], 0.4)
    for found, expected in zip(models.values_of(model), kernels, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    logged = [history.history[f"balance_losses_{key}"][-1] for key in "ab"]
    np.testing.assert_allclose(logged, weights, rtol=1e-4)
    assert callback.get_state()["step"] == 4 and callback.get_state()["epoch"] == 1


def test_it_knows_the_epoch():
    callback = kr.callbacks.BalanceLosses(kr.tasks.DynamicWeightAverage(0.1))
    history = fit(build(), callback, epochs=3).history
    weights = [history[f"balance_losses_{key}"] for key in "ab"]
    np.testing.assert_allclose(np.array(weights)[:, :2], 1.0)
    assert abs(weights[0][2] - 1.0) > 1e-3
    assert weights[0][2] + weights[1][2] == pytest.approx(2.0, rel=1e-5)


@pytest.mark.parametrize("balancer", [kr.tasks.PCGrad(), kr.tasks.UncertaintyWeights()])
def test_balancers_that_need_more_are_refused(balancer):
    with pytest.raises(ValueError, match="LossBalancing"):
        kr.callbacks.BalanceLosses(balancer)
