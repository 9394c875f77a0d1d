"""Recurrence, attention and normalization in float64 against central differences."""

import contextlib

import keras
import numpy as np
import pytest
from keras import layers, ops
from keras.src.backend.common import dtypes

from keras_reweight import gradients
from keras_reweight.core.testing.compare import assert_close

GENERATOR_SEED = 11


@pytest.fixture(autouse=True)
def float64(monkeypatch):
    """Double precision for one test.

    JAX has to be told, and outside of TensorFlow the type promotion of Keras rounds to float32 in
    the middle of a float64 model.
    """
    monkeypatch.setitem(dtypes.BIT64_TO_BIT32_DTYPE, "float64", "float64")
    with contextlib.ExitStack() as stack:
        if keras.backend.backend() == "jax":
            import jax

            stack.enter_context(jax.enable_x64(True))
        keras.config.set_floatx("float64")
        keras.config.set_dtype_policy("float64")
        yield
        keras.config.set_floatx("float32")
        keras.config.set_dtype_policy("float32")


def sequence_model():
    inputs = keras.Input((2, 3))
    hidden = layers.LayerNormalization()(inputs)
    return keras.Model(inputs, layers.LSTM(1)(hidden))


def attention_model():
    inputs = keras.Input((2, 3))
    hidden = layers.MultiHeadAttention(1, 2)(inputs, inputs)
    return keras.Model(inputs, layers.LayerNormalization()(hidden))


def normalized_model():
    inputs = keras.Input((4,))
    hidden = layers.GroupNormalization(2)(layers.Dense(4, activation="gelu")(inputs))
    return keras.Model(inputs, layers.BatchNormalization()(hidden))


# JAX computes the softmax of an attention layer in float32, whatever the dtype of the layer.
ATTENTION = 1e-4 if keras.backend.backend() == "jax" else 1e-6
CASES = {
    "attention": (attention_model, False, ATTENTION),
    "normalized": (normalized_model, True, 1e-6),
    "sequence": (sequence_model, False, 1e-6),
}


@pytest.mark.parametrize("name", sorted(CASES))
def test_first_and_second_derivatives(name):
    build, training, tolerance = CASES[name]
    model = build()
    generator = np.random.default_rng(GENERATOR_SEED)
    x = generator.normal(size=(4, *model.input_shape[1:]))
    y = generator.normal(size=(4, *model.output_shape[1:]))
    variables = model.trainable_variables
    start = [generator.normal(scale=0.5, size=variable.shape) for variable in variables]
    vector = [generator.normal(size=variable.shape) for variable in variables]

    def value_and_gradient(step=0.0):
        for variable, weight, part in zip(variables, start, vector, strict=True):
            variable.assign(weight + step * part)
        value, found, _ = gradients.value_and_grad(model, x, y, loss="mse", training=training)
        found = [ops.convert_to_numpy(part) for part in found]
        assert all(part.dtype == np.float64 for part in found)
        return float(ops.convert_to_numpy(value)), found

    step = 1e-4
    ahead, behind = value_and_gradient(step), value_and_gradient(-step)
    _, found = value_and_gradient()
    slope = sum(float((a * b).sum()) for a, b in zip(found, vector, strict=True))
    expected = (ahead[0] - behind[0]) / (2 * step)
    assert_close(slope, expected, f"slope of {name}", relative=max(tolerance, 1e-6))

    product = gradients.hessian_vector_product(model, x, y, vector, loss="mse", training=training)
    product = [ops.convert_to_numpy(part) for part in product]
    difference = [(up - down) / (2 * step) for up, down in zip(ahead[1], behind[1], strict=True)]
    # Some gradients are zero up to rounding (key bias, what comes before a normalization), so the
    # largest entry of the whole vector is the measure.
    joined = [np.concatenate([part.ravel() for part in parts]) for parts in (product, difference)]
    assert_close(*joined, f"product of {name}", relative=tolerance, of_largest=tolerance)


def test_float64_losses_given_by_name_are_not_rounded():
    model = keras.Sequential([keras.Input((2,)), layers.Dense(1)])
    value, found, _ = gradients.value_and_grad(model, np.ones((3, 2)), np.ones((3, 1)), loss="mse")
    assert keras.backend.standardize_dtype(value.dtype) == "float64"
    assert {keras.backend.standardize_dtype(part.dtype) for part in found} == {"float64"}
