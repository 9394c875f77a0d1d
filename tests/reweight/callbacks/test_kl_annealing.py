"""KLAnnealing: the numbers of the schedule, in the compiled step, on the chosen layers."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_reweight as kr


def value(tensor):
    return float(ops.convert_to_numpy(tensor))


def build(names=("kl",)):
    keras.utils.set_random_seed(0)
    inputs = hidden = keras.Input((4,))
    for name in names:
        hidden = kr.layers.KLRegularizer(seed=0, name=name)(keras.layers.Dense(4)(hidden))
    return keras.Model(inputs, keras.layers.Dense(1)(hidden))


def fit(model, callback, steps=4, **options):
    model.compile(keras.optimizers.SGD(0.0), "mse", **options)
    x = np.ones((2 * steps, 4), "float32")
    return model.fit(x, x[:, :1], batch_size=2, verbose=0, callbacks=[callback])


@pytest.mark.parametrize(("step", "expected"), [(0, 0.0), (1, 5e-6), (100_000, 0.2)])
def test_reference_numbers(step, expected):
    np.testing.assert_allclose(value(kr.callbacks.KLAnnealing(200_000).value(step)), expected)


@pytest.mark.parametrize(
    ("kind", "steps", "expected"),
    [
        ("linear", (0, 5, 10, 30), (0.0, 0.5, 0.9, 0.9)),
        ("sigmoid", (0, 5, 10, 30), (1.0 / (1.0 + np.exp(6.0)), 0.5, 0.9, 0.9)),
        ("cyclic", (0, 2, 4, 5, 9, 10, 12, 15), (0.0, 0.4, 0.8, 0.9, 0.9, 0.0, 0.4, 0.9)),
    ],
)
def test_kinds(kind, steps, expected):
    callback = kr.callbacks.KLAnnealing(10, maximum=0.9, kind=kind)
    found = [value(callback.value(step)) for step in steps]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


def test_no_steps_is_the_cap_from_the_start():
    assert value(kr.callbacks.KLAnnealing(0, maximum=0.25).value(0)) == 0.25


@pytest.mark.parametrize("run_eagerly", [True, False])
def test_every_step_has_its_own_weight(run_eagerly):
    """With a learning rate of zero the loss shows the weight of each step."""
    model, callback = build(), kr.callbacks.KLAnnealing(8, maximum=1.0)
    seen = []

    class Watch(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(logs["loss"])

    model.compile(keras.optimizers.SGD(0.0), "mse", run_eagerly=run_eagerly)
    encoder = keras.Model(model.inputs, model.get_layer("kl").input)
    x = np.ones((8, 4), "float32")
    encoded = encoder.predict(x[:1], verbose=0).astype("float64")
    mean, log_variance = encoded[:, :2], encoded[:, 2:]
    divergence = 0.5 * (mean**2 + np.exp(log_variance) - log_variance - 1.0).sum()
    model.layers[-1].set_weights([np.zeros((2, 1), "float32"), np.zeros(1, "float32")])
    model.fit(x, x[:, :1], batch_size=2, verbose=0, callbacks=[callback, Watch()])
    # Keras reports the mean loss of the steps so far; the output is zero, the target one.
    steps = np.array([0.0, 1.0, 2.0, 3.0]) / 8.0
    expected = 1.0 + divergence * np.cumsum(steps) / np.arange(1, 5)
    np.testing.assert_allclose(seen, expected, rtol=1e-5)
    assert value(model.get_layer("kl").kl_weight) == 0.5


def test_only_the_chosen_layers():
    model = build(("first", "second"))
    history = fit(model, kr.callbacks.KLAnnealing(4, maximum=1.0, layers="second"))
    assert value(model.get_layer("first").kl_weight) == 1.0
    assert value(model.get_layer("second").kl_weight) == 1.0
    assert history.history["kl_annealing_weight"] == [1.0]
    fit(model, kr.callbacks.KLAnnealing(8, maximum=1.0, layers=["first"]))
    assert value(model.get_layer("first").kl_weight) == 0.5


def test_a_model_without_the_layer_is_refused():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    with pytest.raises(ValueError, match="layers"):
        fit(model, kr.callbacks.KLAnnealing(4))
