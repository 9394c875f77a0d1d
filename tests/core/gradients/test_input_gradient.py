"""Gradients by the inputs: structures, modes, and `make_input_gradient`."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_reweight.core.gradients import input_gradient, make_input_gradient
from keras_reweight.core.testing.compare import assert_close
from tests.core.gradients.references import assert_unchanged, snapshot

X = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
TOKENS = np.array([[0, 1], [2, 2], [1, 0], [3, 3]])
Y = np.zeros((4, 1), "float32")


def test_integer_inputs_of_a_dict_get_none():
    a, b = keras.Input((3,), name="a"), keras.Input((2,), dtype="int32", name="b")
    hidden = layers.Concatenate()([a, layers.Flatten()(layers.Embedding(4, 1)(b))])
    model = keras.Model({"a": a, "b": b}, layers.Dense(1)(hidden))
    found = input_gradient(model, {"a": X, "b": TOKENS}, Y, loss="mse")
    assert found["b"] is None and tuple(found["a"].shape) == X.shape
    prediction = ops.convert_to_numpy(model({"a": X, "b": TOKENS}))
    kernel = ops.convert_to_numpy(model.layers[-1].kernel)[:3, 0]
    assert_close(ops.convert_to_numpy(found["a"]), 2 * prediction * kernel, "rows")


def test_integer_arrays_for_a_float_input_are_refused():
    model = keras.Sequential([keras.Input((3,)), layers.Dense(1)])
    with pytest.raises(ValueError, match="holds no floating point array.*cast pixel values"):
        input_gradient(model, np.ones((4, 3), "uint8"), Y, loss="mse")


def test_batch_statistics_couple_the_samples_and_stay_where_they_are():
    model = keras.Sequential([keras.Input((3,)), layers.BatchNormalization(), layers.Dense(1)])
    before = snapshot(model)
    found = {
        training: ops.convert_to_numpy(input_gradient(model, X, Y, loss="mse", training=training))
        for training in (False, True)
    }
    assert_unchanged(model, before)
    # Shifting all samples together changes nothing under batch statistics.
    assert np.abs(found[True].sum(axis=0)).max() < 1e-5 < np.abs(found[False].sum(axis=0)).max()


def test_any_function_and_any_argument():
    model = keras.Sequential([keras.Input((3,)), layers.Dense(2, use_bias=False)])
    kernel = ops.convert_to_numpy(model.layers[0].kernel)
    saliency = make_input_gradient(lambda x: model(x)[:, 0], others=model.variables)
    assert_close(ops.convert_to_numpy(saliency(X)), np.tile(kernel[:, 0], (4, 1)), "first")
    second = make_input_gradient(lambda a, b: ops.sum(model(a)) * b["scale"], argnum=1)
    found = second(X, {"scale": np.float32([2.0])[0:1], "name": np.arange(2)})
    assert_close(ops.convert_to_numpy(found["scale"]), [(X @ kernel).sum()], "second")
    assert found["name"] is None
    with pytest.raises(ValueError, match="`argnum`=1, but only 1"):
        second(X)
    with pytest.raises(ValueError, match="argnum"):
        make_input_gradient(lambda x: x, argnum=-1)
    with pytest.raises(TypeError, match=r"must hold keras\.Variable"):
        make_input_gradient(lambda x: x, others=[1.0])
