"""AutoWeightedLoss: numbers of the formula, learned weights inside `fit`."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_reweight as kr
from keras_reweight.losses._uncertainty import descend


def reference(y_true, y_pred, initial_variance=1.0):
    """Of the mean squared and the mean absolute error."""
    errors = np.asarray(y_true, "float64") - y_pred
    terms = (errors**2).mean(axis=-1) + np.abs(errors).mean(axis=-1)
    return 0.5 / initial_variance * terms + 2.0 * np.log(1.0 + initial_variance)


def optimum(loss):
    return loss / 4.0 + np.sqrt(loss**2 / 16.0 + loss / 2.0)


@keras.saving.register_keras_serializable(package="keras_reweight_tests")
class ConstantLoss(keras.losses.Loss):
    def __init__(self, value, name=None, **kwargs):
        super().__init__(name=name, **kwargs)
        self.value = value

    def call(self, y_true, y_pred):
        return self.value + 0.0 * ops.sum(y_pred, axis=-1)

    def get_config(self):
        return {**super().get_config(), "value": self.value}


def constants():
    return [ConstantLoss(value) for value in (0.8, 1.5, 0.2)]


def test_numbers_of_the_formula():
    found = kr.losses.AutoWeightedLoss(constants())(np.zeros((2, 1)), np.zeros((2, 1)))
    np.testing.assert_allclose(float(found), 3.3294415, atol=1e-6)
    # With respect to s = 1, as in the paper; ours are half of these, for log s^2.
    state = ops.convert_to_tensor(np.zeros(3, "float32"))
    losses = ops.convert_to_tensor(np.array([0.8, 1.5, 0.2], "float32"))
    step = ops.convert_to_numpy(descend(state, losses, 0.1))
    np.testing.assert_allclose(-2.0 * step / 0.1, [0.2, -0.5, 0.8], atol=1e-6)


def fit(losses, learning_rate, epochs=1, steps=40, **options):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    loss = kr.losses.AutoWeightedLoss(losses, learning_rate=learning_rate)
    model.compile(keras.optimizers.SGD(0.0), loss, **options)
    x, y = np.ones((2 * steps, 2), "float32"), np.ones((2 * steps, 1), "float32")
    data = (x[:4], y[:4])
    callbacks = [kr.callbacks.LossState()]
    model.fit(
        x, y, batch_size=2, epochs=epochs, verbose=0, callbacks=callbacks, validation_data=data
    )
    return loss.memory.read()["log_variance"]


def test_the_variances_find_their_optimum():
    found = np.exp(fit(constants(), learning_rate=1.0, steps=60))
    np.testing.assert_allclose(found, optimum(np.array([0.8, 1.5, 0.2])), rtol=1e-4)


def test_validation_does_not_move_them():
    state = ops.zeros(3)
    losses = ops.convert_to_tensor(np.array([0.8, 1.5, 0.2], "float32"))
    for _ in range(5):
        state = descend(state, losses, 0.05)
    state = ops.convert_to_numpy(state)
    np.testing.assert_allclose(fit(constants(), 0.05, steps=5), state, rtol=1e-5, atol=1e-7)


def test_huge_negative_and_broken_losses_stay_finite():
    state = ops.zeros(4)
    losses = ops.convert_to_tensor(np.array([1e30, -5.0, np.nan, np.inf], "float32"))
    for _ in range(100):
        state = descend(state, losses, 0.5)
    state = ops.convert_to_numpy(state)
    assert np.isfinite(state).all() and np.isfinite(0.5 * np.exp(-state)).all()


def test_a_scalar_loss_joins_the_others():
    rng = np.random.default_rng(0)
    y, p = (rng.random((4, 3)).astype("float32") for _ in range(2))
    found = float(kr.losses.AutoWeightedLoss(["mse", "dice"])(y, p))
    terms = float(keras.losses.MeanSquaredError()(y, p)) + float(keras.losses.Dice()(y, p))
    np.testing.assert_allclose(found, 0.5 * terms + 2.0 * np.log(2.0), rtol=1e-5)


def test_values_of_other_shapes_are_refused():
    class Everywhere(keras.losses.Loss):
        def call(self, y_true, y_pred):
            return y_pred

    with pytest.raises(ValueError, match="losses"):
        kr.losses.AutoWeightedLoss(["mse", Everywhere()])(np.zeros((2, 3)), np.zeros((2, 3)))
