"""self_distill against gradient descent in NumPy, for a linear model."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_reweight as kr
from tests.reweight.functional.test_optimal_distillation_weight import optimal

RATE = 0.1
X = np.random.default_rng(0).normal(size=(12, 3)).astype("float32")
Y = (X @ np.array([1.0, -2.0, 0.5]) + np.random.default_rng(1).normal(size=12)).astype("float32")
X_VAL = np.random.default_rng(2).normal(size=(8, 3)).astype("float32")
Y_VAL = (X_VAL @ np.array([1.0, -2.0, 0.5])).astype("float32")
FIT = {"epochs": 4, "batch_size": 12}


def make_model():
    dense = keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")
    model = keras.Sequential([keras.Input((3,)), dense])
    model.compile(keras.optimizers.SGD(RATE), "mse")
    return model


def outcome(result):
    model, history = result
    return {"kernel": model.weights[0], **history}


def descend(x, y, epochs, weight):
    kernel = np.zeros(x.shape[1])
    for _ in range(epochs):
        kernel -= RATE * 2 * x.T @ (weight * (x @ kernel - y)) / len(x)
    return kernel


def reference(
    x, y, validation_data, steps=3, weight="optimal", sample_weight=None, fit_arguments=None
):
    x, y, x_val, y_val = (np.asarray(a, "float64") for a in (x, y, *validation_data))
    sample_weight = np.ones(len(x)) if sample_weight is None else sample_weight
    epochs = (fit_arguments or FIT)["epochs"]
    kernel = first = descend(x, y, epochs, sample_weight)
    weights, errors = [1.0], [np.mean((x_val @ kernel - y_val) ** 2)]
    for _ in range(steps - 1):
        teacher, alpha = x @ kernel, weight
        if weight == "optimal":
            alone = descend(x, teacher, epochs, sample_weight)
            alpha = optimal(y_val, x_val @ first, x_val @ alone)
        kernel = descend(x, alpha * y + (1 - alpha) * teacher, epochs, sample_weight)
        weights.append(alpha)
        errors.append(np.mean((x_val @ kernel - y_val) ** 2))
    return {"kernel": kernel[:, None], "weight": weights, "validation_mse": errors}


def run(**arguments):
    options = {"fit_arguments": FIT, "validation_data": (X_VAL, Y_VAL), "verbose": 0, **arguments}
    return kr.distillation.self_distill(make_model, X, Y, **options)


@pytest.mark.parametrize("weight", ["optimal", 0.0, 0.3])
def test_against_gradient_descent(weight):
    model, history = run(weight=weight)
    expected = reference(X, Y, (X_VAL, Y_VAL), weight=weight)
    np.testing.assert_allclose(
        ops.convert_to_numpy(model.weights[0]), expected["kernel"], rtol=1e-4, atol=1e-6
    )
    np.testing.assert_allclose(history["weight"], expected["weight"], rtol=1e-4)
    np.testing.assert_allclose(history["validation_mse"], expected["validation_mse"], rtol=1e-4)


def test_sample_weight_reaches_the_fits():
    weight = np.linspace(0.0, 2.0, 12).astype("float32")
    model, _ = run(weight=0.5, sample_weight=weight)
    expected = reference(X, Y, (X_VAL, Y_VAL), weight=0.5, sample_weight=weight)
    np.testing.assert_allclose(
        ops.convert_to_numpy(model.weights[0]), expected["kernel"], rtol=1e-4, atol=1e-6
    )


def test_labels_alone_change_nothing_and_one_step_is_one_fit():
    once, history = run(steps=1)
    assert history["weight"] == [1.0]
    again, _ = run(steps=3, weight=1.0, validation_data=None)
    found, expected = (ops.convert_to_numpy(m.weights[0]) for m in (again, once))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_logits_become_targets_through_the_activation():
    seen = []

    class Spy(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            seen.append(self.model)

    def make_classifier():
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        model.compile("sgd", keras.losses.CategoricalCrossentropy(from_logits=True))
        return model

    y = np.eye(2)[np.arange(12) % 2]
    model, history = kr.distillation.self_distill(
        make_classifier,
        X,
        y,
        steps=2,
        weight=0.5,
        activation="softmax",
        validation_data=(X, y),
        fit_arguments={"callbacks": [Spy()]},
        verbose=0,
    )
    assert len(seen) == 2 and seen[-1] is model
    logits = model.predict(X, verbose=0).astype("float64")
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(history["validation_mse"][-1], np.mean((p - y) ** 2), rtol=1e-4)


def test_progress(capsys):
    run(steps=2, weight=0.5, verbose=1)
    assert "2/2" in capsys.readouterr().out


def test_wrong_targets_and_models():
    with pytest.raises(ValueError, match="one-hot"):
        kr.distillation.self_distill(make_model, X, np.zeros((12, 4)), weight=0.5, verbose=0)
    with pytest.raises(ValueError, match="validation_data"):
        run(validation_data=None)
    with pytest.raises(TypeError, match="make_model"):
        kr.distillation.self_distill(lambda: None, X, Y, weight=0.5, verbose=0)
    plain = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    with pytest.raises(ValueError, match="compiled"):
        kr.distillation.self_distill(lambda: plain, X, Y, weight=0.5, verbose=0)
