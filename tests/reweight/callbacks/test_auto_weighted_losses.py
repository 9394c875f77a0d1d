"""AutoWeightedLosses: hand-written steps, the optimum of the weights, two scales."""

import keras
import numpy as np
import pytest

import keras_reweight as kr

RNG = np.random.default_rng(0)
X = RNG.normal(size=(8, 3)).astype("float32")
SMALL, LARGE = X[:, :1], 50.0 * X[:, 1:2]


def build(loss=("mse", "mse"), rate=0.01):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((3,))
    heads = [keras.layers.Dense(1, use_bias=False, name=name)(inputs) for name in ("a", "b")]
    model = keras.Model(inputs, heads)
    model.set_weights([np.full((3, 1), 0.5, "float32"), np.full((3, 1), -0.5, "float32")])
    model.compile(keras.optimizers.SGD(rate), list(loss) if isinstance(loss, tuple) else loss)
    return model


def fit(model, callback, epochs=1, **options):
    options = {"batch_size": 4, "shuffle": False, "verbose": 0, **options}
    return model.fit(X, [SMALL, LARGE], epochs=epochs, callbacks=[callback], **options)


@pytest.mark.parametrize("sample_weight", [None, np.linspace(0.5, 2.0, 8)])
def test_steps_equal_hand_written_descent(sample_weight):
    model = build()
    weight = None if sample_weight is None else [sample_weight.astype("float32")] * 2
    callback = kr.callbacks.AutoWeightedLosses(0.1, initial_variance=2.0)
    history = fit(model, callback, sample_weight=weight)
    kernels = [np.full(3, 0.5), np.full(3, -0.5)]
    log_variance = np.full(2, np.log(2.0))
    for rows in (slice(0, 4), slice(4, 8)):
        for index, target in enumerate((SMALL, LARGE)):
            x, w = X[rows].astype("float64"), np.ones(4) if weight is None else sample_weight[rows]
            error = x @ kernels[index] - target[rows, 0]
            factor = 0.5 * np.exp(-log_variance[index])
            loss = (w * error**2).mean()
            kernels[index] = kernels[index] - 0.01 * factor * 2.0 * x.T @ (w * error) / 4.0
            slope = 1.0 / (1.0 + np.exp(-log_variance[index])) - factor * loss
            log_variance[index] -= np.clip(0.1 * slope, -1.0, 1.0)
    for found, expected in zip(model.get_weights(), kernels, strict=True):
        np.testing.assert_allclose(found[:, 0], expected, rtol=1e-5)
    names = ("auto_weighted_losses_a", "auto_weighted_losses_b")
    weights = [history.history[name][-1] for name in names]
    np.testing.assert_allclose(weights, 0.5 * np.exp(-log_variance), rtol=1e-5)


def test_weights_find_the_optimum_of_constant_losses():
    model = build(rate=0.0)
    losses = [
        float(np.mean((X @ kernel - y) ** 2))
        for kernel, y in zip(model.get_weights(), (SMALL, LARGE), strict=True)
    ]
    callback = kr.callbacks.AutoWeightedLosses(0.5)
    fit(model, callback, epochs=100, batch_size=8)
    for index, loss in enumerate(losses):
        found = np.exp(callback.get_state()[f"log_variance_{index}"])
        np.testing.assert_allclose(found, loss / 4 + np.sqrt(loss**2 / 16 + loss / 2), rtol=1e-4)


def test_one_loss_for_all_outputs():
    callback = kr.callbacks.AutoWeightedLosses()
    fit(build(loss="mse"), callback)
    assert sorted(callback.get_state()) == ["log_variance_0", "log_variance_1"]


def test_a_loss_of_the_whole_batch_is_refused():
    with pytest.raises(ValueError, match="scalar"):
        fit(build(loss=("mse", "dice")), kr.callbacks.AutoWeightedLosses())


def test_the_number_of_losses_must_be_known():
    class TwoHeads(keras.Model):
        def __init__(self):
            super().__init__()
            self.first, self.second = keras.layers.Dense(1), keras.layers.Dense(1)

        def call(self, inputs):
            return self.first(inputs), self.second(inputs)

    model = TwoHeads()
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="list of losses"):
        model.fit(X, (SMALL, LARGE), verbose=0, callbacks=[kr.callbacks.AutoWeightedLosses()])
