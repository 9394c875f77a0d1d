"""KLDROReweight: a training simulated in NumPy, its memory, and losses that would overflow."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_reweight as kr

X = np.array([[0.5], [-1.0], [2.0], [1.5], [0.1], [-0.4], [0.9], [-1.7]], "float32")
Y = np.array([[1.0], [0.0], [-1.0], [2.0], [0.5], [1.0], [0.0], [1.0]], "float32")


def simulate(x, y, temperature, rate, max_weight=np.inf, epochs=1, batch_size=2, learning_rate=0.1):
    """Kernel and `log u` after every step of SGD on the weighted squared error."""
    kernel, u, history = 0.3, None, []
    for _ in range(epochs):
        for begin in range(0, len(x), batch_size):
            xb = x[begin : begin + batch_size, 0].astype("float64")
            yb = y[begin : begin + batch_size, 0].astype("float64")
            losses = (kernel * xb - yb) ** 2
            batch = np.mean(np.exp(losses / temperature))
            u = batch if u is None else (1 - rate) * u + rate * batch
            weights = np.minimum(np.exp(losses / temperature) / u, max_weight)
            kernel -= learning_rate * np.mean(weights * 2 * (kernel * xb - yb) * xb)
            history.append((kernel, np.log(u)))
    return history


def fit(callback, x=X, y=Y, batch_size=2, learning_rate=0.1, loss="mse", **arguments):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    model.layers[0].kernel.assign([[0.3]])
    model.compile(keras.optimizers.SGD(learning_rate), loss)
    history = model.fit(
        x, y, batch_size=batch_size, shuffle=False, verbose=0, callbacks=[callback], **arguments
    )
    return float(ops.convert_to_numpy(model.layers[0].kernel)[0, 0]), history.history


@pytest.mark.parametrize(
    ("temperature", "rate", "max_weight"), [(1.0, 0.1, None), (2.0, 0.7, 1.2), (3.0, 1.0, None)]
)
def test_every_step_is_the_one_computed_by_hand(temperature, rate, max_weight):
    bound = np.inf if max_weight is None else max_weight
    expected = simulate(X, Y, temperature, rate, bound)
    for steps in (1, 2, 4):
        callback = kr.callbacks.KLDROReweight(temperature, rate=rate, max_weight=max_weight)
        kernel, logs = fit(callback, steps_per_epoch=steps)
        state = callback.get_state()
        np.testing.assert_allclose(kernel, expected[steps - 1][0], rtol=1e-5)
        np.testing.assert_allclose(state["log_u"], expected[steps - 1][1], rtol=1e-5)
        assert int(state["step"]) == steps
        objective = temperature * expected[steps - 1][1]
        np.testing.assert_allclose(logs["kldro_reweight_objective"], [objective], rtol=1e-5)


def test_the_memory_lasts_over_epochs():
    callback = kr.callbacks.KLDROReweight(rate=0.3)
    kernel, _ = fit(callback, epochs=3)
    expected = simulate(X, Y, 1.0, 0.3, epochs=3)[-1]
    np.testing.assert_allclose([kernel, callback.get_state()["log_u"]], expected, rtol=1e-5)


def test_without_memory_it_is_the_weighting():
    with_callback, _ = fit(kr.callbacks.KLDROReweight(0.5, rate=1.0))
    inside, _ = fit(kr.callbacks.Reweight(kr.weightings.KLDRO(0.5)))
    np.testing.assert_allclose(with_callback, inside, rtol=1e-5)


def test_losses_whose_exponential_overflows():
    y = Y * 100
    callback = kr.callbacks.KLDROReweight(0.5, rate=0.1)
    kernel, _ = fit(callback, y=y, learning_rate=1e-4)
    assert np.isfinite(kernel)
    # The largest loss so far, times the share it had in the average, decides.
    assert callback.get_state()["log_u"] > 1e4


def test_padding_and_a_batch_of_nothing_but_padding():
    class Tokens(keras.losses.Loss):
        def call(self, y_true, y_pred):
            return ops.squeeze(ops.square(y_true - y_pred), axis=-1)

    x = np.array([[1.0, 2.0, 0.0], [0.0, 0.0, 0.0], [3.0, 1.0, 2.0]], "float32")
    inputs = keras.Input((3, 1))
    outputs = keras.layers.Dense(1, use_bias=False)(keras.layers.Masking()(inputs))
    model = keras.Model(inputs, outputs)
    model.layers[-1].kernel.assign([[0.5]])
    model.compile(keras.optimizers.SGD(0.0), Tokens())
    callback = kr.callbacks.KLDROReweight(2.0, rate=0.25)
    y = np.zeros((3, 3, 1), "float32")
    model.fit(x[..., None], y, batch_size=1, shuffle=False, verbose=0, callbacks=[callback])
    first, last = np.mean([0.25, 1.0]), np.mean([2.25, 0.25, 1.0])
    expected = np.log(0.75 * np.exp(first / 2) + 0.25 * np.exp(last / 2))
    np.testing.assert_allclose(callback.get_state()["log_u"], expected, rtol=1e-6)


def test_two_losses_are_refused():
    inputs = keras.Input((1,))
    model = keras.Model(inputs, [keras.layers.Dense(1)(inputs), keras.layers.Dense(1)(inputs)])
    model.compile("sgd", ["mse", "mse"])
    with pytest.raises(ValueError, match="2 losses"):
        model.fit(X, [Y, Y], verbose=0, callbacks=[kr.callbacks.KLDROReweight()])
