"""Losses scaled by what an epoch added to the hypervolume."""

import keras
import numpy as np
import pytest

import keras_reweight as kr

START = 4.0
#: (a, b) after each epoch, both to maximize: better, dominated, another trade-off, unknown.
SHOWN = [(0.5, 0.2), (0.3, 0.1), (0.4, 0.6), (np.nan, 0.9)]
FACTORS = [0.5 + 1.5 * np.tanh(0.1), 0.5, 0.7379728, 0.5]


class Shown(keras.callbacks.Callback):
    """Puts metrics into the logs of an epoch, as validation does."""

    def __init__(self, values):
        super().__init__()
        self.values = values

    def on_epoch_end(self, epoch, logs=None):
        logs.update(self.values[epoch])


def named(pairs):
    return [{"val_a": a, "val_b": b} for a, b in pairs]


def fit(callback, values, extra=(), **options):
    """A single weight that plain descent on `(w - 2)^2` moves; its values after each epoch."""
    dense = keras.layers.Dense(1, use_bias=False)
    model = keras.Sequential([keras.Input((1,)), dense])
    dense.kernel.assign([[START]])
    model.compile(keras.optimizers.SGD(0.1), "mse", run_eagerly=True)
    seen = []
    probe = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append(float(model.get_weights()[0][0, 0]))
    )
    history = model.fit(
        np.ones((4, 1), "float32"),
        np.full((4, 1), 2.0, "float32"),
        epochs=len(values),
        verbose=0,
        callbacks=[Shown(values), callback, probe, *extra],
        **options,
    )
    return seen, history.history


def expected(factors):
    """Weights after epochs of one step."""
    value, found = START, []
    for factor in factors:
        value -= 0.1 * factor * 2.0 * (value - 2.0)
        found.append(value)
    return found


def test_the_next_epoch_is_scaled_by_the_progress():
    callback = kr.callbacks.HypervolumeWeight(["val_a", "val_b"], reference=[0.0, 0.0])
    seen, history = fit(callback, named(SHOWN))
    np.testing.assert_allclose(history["hypervolume_weight_factor"], FACTORS, rtol=1e-6)
    np.testing.assert_allclose(history["hypervolume_weight_volume"], [0.1, 0.1, 0.26, 0.26])
    np.testing.assert_allclose(seen, expected([1.0, *FACTORS[:-1]]), rtol=1e-5)


def test_three_objectives_one_of_them_to_minimize():
    callback = kr.callbacks.HypervolumeWeight(
        ["val_a", "val_b", "val_c"], modes=["max", "max", "min"], reference=[0.0, 0.0, 1.0]
    )
    points = [(0.5, 0.2, 0.5), (0.6, 0.3, 0.4)]
    _, history = fit(callback, [dict(zip(callback.metrics, p, strict=True)) for p in points])
    assert history["hypervolume_weight_factor"][1] == pytest.approx(0.5869026, rel=1e-6)


def test_without_a_reference_the_first_epoch_is_one():
    callback = kr.callbacks.HypervolumeWeight(["val_a", "val_b"], minimum=0.2, gain=1.0)
    _, history = fit(callback, named([(0.1, 0.1), (0.5, 0.2)]))
    factors = [1.0, 0.2 + np.tanh(0.4 * 0.1)]
    np.testing.assert_allclose(history["hypervolume_weight_factor"], factors, rtol=1e-6)


def test_it_resumes_with_its_points():
    def make():
        return kr.callbacks.HypervolumeWeight(["val_a", "val_b"], reference=[0.0, 0.0])

    first, second = make(), make()
    fit(first, named(SHOWN[:2]))
    second.set_state(first.get_state())
    _, history = fit(second, named(SHOWN[2:]))
    np.testing.assert_allclose(history["hypervolume_weight_factor"], FACTORS[2:], rtol=1e-6)


def test_epochs_without_validation_and_logs_that_lack_a_metric():
    callback = kr.callbacks.HypervolumeWeight("val_a", reference=[0.0])
    _, history = fit(callback, [{"val_a": 0.3}, {}])
    assert history["hypervolume_weight_factor"][0] == history["hypervolume_weight_factor"][1]
    with pytest.warns(UserWarning, match="no epoch had the metrics"):
        kr.callbacks.HypervolumeWeight("val_a").on_train_end()
    with pytest.raises(ValueError, match=r"`metrics`: the logs lack \['val_b'\]"):
        fit(kr.callbacks.HypervolumeWeight(["val_a", "val_b"]), [{"val_a": 0.3}])
    with pytest.raises(ValueError, match=r"`metrics`: the logs lack \['accuracy'\]"):
        fit(kr.callbacks.HypervolumeWeight("accuracy"), [{}])
