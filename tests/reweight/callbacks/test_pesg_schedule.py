"""PESGSchedule: when it acts, and on what."""

import keras
import numpy as np
import pytest

import keras_reweight as kr

X = np.random.default_rng(0).normal(size=(8, 2)).astype("float32")
Y = np.arange(8) % 2


class Rates(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.rates = []

    def on_epoch_end(self, epoch, logs=None):
        self.rates.append(float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)))


def fit(schedule, optimizer=None, loss=None, **options):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, activation="sigmoid")])
    model.compile(optimizer or kr.optimizers.PESG(0.1), loss or kr.losses.AUCMarginLoss())
    rates = Rates()
    state = [kr.callbacks.LossState()] if isinstance(loss, kr.losses.AUCMinMaxLoss) else []
    callbacks = [schedule, *state, rates]
    model.fit(X, Y, batch_size=4, verbose=0, callbacks=callbacks, **options)
    return model, rates.rates


def test_the_rate_falls_at_the_listed_epochs():
    _, rates = fit(kr.callbacks.PESGSchedule([1, 3], decay_factor=2.0), epochs=4)
    np.testing.assert_allclose(rates, [0.1, 0.05, 0.05, 0.025], rtol=1e-6)


def test_epochs_count_from_the_first_fit():
    _, rates = fit(kr.callbacks.PESGSchedule([1, 3]), epochs=4, initial_epoch=2)
    np.testing.assert_allclose(rates, [0.1, 0.01], rtol=1e-6)


def test_the_scalars_of_the_loss_are_pulled_to_their_average():
    loss = kr.losses.AUCMinMaxLoss()
    fit(kr.callbacks.PESGSchedule([1]), loss=loss, epochs=2)
    state = loss.memory.read()
    assert state["reference"].all() and state["steps"] == 2


def test_the_optimizer_inside_a_loss_scale_optimizer_is_found():
    optimizer = keras.optimizers.LossScaleOptimizer(kr.optimizers.PESG(0.1))
    _, rates = fit(kr.callbacks.PESGSchedule([0]), optimizer)
    np.testing.assert_allclose(rates, [0.01], rtol=1e-6)


def test_other_optimizers_and_scheduled_rates_are_refused():
    with pytest.raises(ValueError, match="PESG"):
        fit(kr.callbacks.PESGSchedule([1]), keras.optimizers.SGD(0.1))
    rate = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.9)
    with pytest.raises(ValueError, match="optimizer"):
        fit(kr.callbacks.PESGSchedule([1]), kr.optimizers.PESG(rate))
