"""Bad arguments are named before anything runs, by every model-level function alike."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_reweight.core import gradients

X = np.ones((4, 3), "float32")
Y = np.zeros((4, 2), "float32")
LABELS = np.array([0, 1, 0, 1])


@pytest.fixture(scope="module")
def model():
    return keras.Sequential(
        [keras.Input((3,)), layers.Dense(2, name="first"), layers.BatchNormalization(name="norm")]
    )


def vectors(model):
    return [np.ones(variable.shape, "float32") for variable in model.trainable_variables]


CALLS = {
    "value_and_grad": gradients.value_and_grad,
    "input_gradient": gradients.input_gradient,
    "per_sample_gradients": gradients.per_sample_gradients,
    "per_sample_gradient_norms": gradients.per_sample_gradient_norms,
    "fisher_diagonal": gradients.fisher_diagonal,
    "hessian_vector_product": lambda m, x, y, **k: gradients.hessian_vector_product(
        m, x, y, vectors(m), **k
    ),
    "jvp": lambda m, x, y, **k: gradients.jvp(m, x, y, vectors(m), **k),
}
PER_SAMPLE = ("per_sample_gradients", "per_sample_gradient_norms", "fisher_diagonal", "jvp")

SPARSE = "sparse_categorical_crossentropy"
CASES = {
    "labels of another width": ((X, Y[:, :1]), {"loss": "mse"}, r"`y` of shape .*\(4, 1\)"),
    "flat labels for two columns": ((X, LABELS), {"loss": "mse"}, "does not fit the prediction"),
    "one-hot for sparse": ((X, Y), {"loss": SPARSE}, r"takes labels of shape .*\(None,\)"),
    "fewer labels": ((X, Y[:3]), {"loss": "mse"}, r"4 in \['x'\], 3 in \['y'\]"),
    "fewer weights": (
        (X, Y),
        {"loss": "mse", "sample_weight": np.ones(2, "float32")},
        r"2 in \['sample_weight'\]",
    ),
    "nothing": ((X[:0], Y[:0]), {"loss": "mse"}, "no samples"),
    "scalar labels": ((X, np.float32(1)), {"loss": "mse"}, "batch axis"),
    "lists of numbers": (([[1.0, 2.0]], Y), {"loss": "mse"}, "np.array"),
    "no labels": ((X, None), {"loss": "mse"}, "`y` is None"),
    "no loss": ((X, Y), {}, "not compiled with a loss"),
    "unknown loss": ((X, Y), {"loss": "mean_square"}, "mean_square"),
    "two labels, one output": ((X, [Y, Y]), {"loss": "mse"}, "single output"),
}


@pytest.mark.parametrize("function", sorted(CALLS))
@pytest.mark.parametrize("case", sorted(CASES))
def test_values_that_do_not_fit(model, function, case):
    data, named, message = CASES[case]
    with pytest.raises(ValueError, match=message):
        CALLS[function](model, *data, **named)


@pytest.mark.parametrize("function", sorted(CALLS))
def test_models_that_are_none_or_not_built(function):
    model = keras.Sequential([layers.Dense(2)])
    call = getattr(gradients, function)
    extra = ([],) if function in ("hessian_vector_product", "jvp") else ()
    with pytest.raises(ValueError, match="not built"):
        call(model, X, Y, *extra, loss="mse")
    with pytest.raises(TypeError, match=r"must be a keras\.Model"):
        call("model", X, Y, *extra, loss="mse")


@pytest.mark.parametrize("function", sorted(CALLS))
def test_arguments_of_the_wrong_kind(model, function):
    with pytest.raises(TypeError, match="`training` must be True or False"):
        CALLS[function](model, X, Y, loss="mse", training="yes")
    with pytest.raises(TypeError, match="`loss` must be"):
        CALLS[function](model, X, Y, loss=3)


@pytest.mark.parametrize("function", sorted(set(CALLS) - {"input_gradient"}))
def test_variables(model, function):
    other = keras.layers.Dense(1)
    other.build((None, 3))
    seed = keras.random.SeedGenerator(0)
    bad = {
        "no layer named 'second'": "second",
        "does not belong to model": [other.kernel],
        "selects no layer": lambda layer: False,
    }
    for message, variables in bad.items():
        with pytest.raises(ValueError, match=message):
            CALLS[function](model, X, Y, loss="mse", variables=variables)
    with pytest.raises(TypeError, match="takes layer names"):
        CALLS[function](model, X, Y, loss="mse", variables=[3.0])
    assert seed.state is not None


def test_integer_variables_have_no_gradient():
    model = keras.Sequential([keras.Input((3,)), layers.Dropout(0.1), layers.Dense(2)])
    seeds = [v for v in model.variables if "seed" in v.path]
    with pytest.raises(ValueError, match="only floating point"):
        gradients.value_and_grad(model, X, Y, loss="mse", variables=seeds)


def test_a_model_without_trainable_variables():
    model = keras.Sequential([keras.Input((3,)), layers.Dense(2)])
    model.trainable = False
    with pytest.raises(ValueError, match="no trainable variables"):
        gradients.value_and_grad(model, X, Y, loss="mse")


@pytest.mark.parametrize("function", PER_SAMPLE)
def test_batch_statistics_are_refused_per_sample_unless_frozen(model, function):
    with pytest.raises(ValueError, match="BatchNormalization layer '.*norm'"):
        CALLS[function](model, X, Y, loss="mse", training=True)
    with pytest.raises((TypeError, ValueError), match="batch_size"):
        CALLS[function](model, X, Y, loss="mse", batch_size=0)
    with pytest.raises(ValueError, match="verbose"):
        CALLS[function](model, X, Y, loss="mse", verbose=3)


@pytest.mark.parametrize("function", ["hessian_vector_product", "jvp"])
def test_vectors_that_do_not_fit(model, function):
    call = getattr(gradients, function)
    for vector in ([], vectors(model)[1:], [part[None] for part in vectors(model)]):
        with pytest.raises(ValueError, match="`vector` must be a list of arrays with the shapes"):
            call(model, X, Y, vector, loss="mse")


def test_unknown_methods(model):
    with pytest.raises(ValueError, match="method"):
        CALLS["hessian_vector_product"](model, X, Y, loss="mse", method="newton")
    with pytest.raises(ValueError, match="method"):
        CALLS["per_sample_gradient_norms"](model, X, Y, loss="mse", method="vmap")


def test_labels_of_a_subclassed_model_are_checked_while_tracing():
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(2)

        def call(self, inputs):
            return self.dense(inputs)

    model = Own()
    model(X)
    with pytest.raises(ValueError, match=r"`y` of shape \(4, 3\) does not fit"):
        gradients.value_and_grad(model, X, np.ones((4, 3), "float32"), loss="mse")
