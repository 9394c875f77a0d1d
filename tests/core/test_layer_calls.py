"""Calls of single layers: recorded, differentiated, and the last activation left out."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_reweight.core.forward import outputs_of, predictions_of
from keras_reweight.core.layer_calls import (
    gives_probabilities,
    last_weighted_layer,
    make_layer_gradient,
    one_layer,
    output_layer,
    recorded_arguments,
    recorded_calls,
    without_last_activation,
)
from keras_reweight.core.testing import tasks

X = tasks.features()


def test_a_recorded_call_can_be_repeated_with_its_masks():
    ids = keras.Input((3,), dtype="int32")
    x = keras.layers.Embedding(5, 4, mask_zero=True)(ids)
    attention = keras.layers.MultiHeadAttention(1, 2, name="attention")
    model = keras.Model(ids, attention(x, x))
    data = np.array([[1, 2, 0], [3, 0, 0]], "int32")
    with recorded_arguments(attention) as calls:
        expected = ops.convert_to_numpy(predictions_of(model, data))
    ((args, kwargs),) = calls
    np.testing.assert_array_equal(ops.convert_to_numpy(kwargs["query_mask"]), data > 0)
    found = ops.convert_to_numpy(outputs_of(attention, args, kwargs))
    valid = data > 0
    np.testing.assert_allclose(found[valid], expected[valid], rtol=1e-5)
    without = ops.convert_to_numpy(outputs_of(attention, args, {"training": False}))
    assert np.abs(without[valid] - expected[valid]).max() > 1e-4
    assert "call" not in vars(attention)


def nested(last):
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), last])
    inputs = keras.Input((4,))
    return keras.Model(inputs, inner(keras.layers.Dense(4)(inputs)))


LAST = {
    "layer": keras.layers.Softmax,
    "activation": lambda: keras.layers.Dense(3, activation="softmax"),
    "activation layer": lambda: keras.layers.Activation("sigmoid"),
}


@pytest.mark.parametrize("kind", list(LAST))
def test_the_last_activation_is_left_out_and_comes_back(kind):
    model = nested(LAST[kind]())
    assert gives_probabilities(model)
    whole = ops.convert_to_numpy(model(X))
    with without_last_activation(model):
        logits = model(X)
    function = ops.sigmoid if kind == "activation layer" else ops.softmax
    np.testing.assert_allclose(ops.convert_to_numpy(function(logits)), whole, rtol=1e-5)
    np.testing.assert_array_equal(ops.convert_to_numpy(model(X)), whole)


def test_models_without_a_last_activation_are_refused():
    for model in (tasks.functional(), tasks.subclassed(), tasks.two_outputs()):
        assert not gives_probabilities(model)
        with pytest.raises(ValueError, match="no softmax"), without_last_activation(model):
            pass


def test_the_output_layer_is_found_through_nested_models():
    last = keras.layers.Dense(3)
    assert output_layer(nested(last)) is last
    assert output_layer(tasks.sequential()).name == "out"
    assert output_layer(tasks.two_outputs()) is None
    assert output_layer(tasks.subclassed()) is None


def test_the_last_layer_with_weights():
    assert last_weighted_layer(nested(keras.layers.Softmax())).units == 3
    assert last_weighted_layer(tasks.subclassed()).name == "out"
    with pytest.raises(ValueError, match="trainable variables"):
        last_weighted_layer(keras.Sequential([keras.Input((4,)), keras.layers.ReLU()]))


def test_one_layer_is_one():
    model = tasks.functional()
    assert one_layer(model, "hidden") is model.get_layer("hidden")
    with pytest.raises(ValueError, match="one layer"):
        one_layer(model, ["hidden", "out"])
    with pytest.raises(ValueError, match="missing"):
        one_layer(model, "missing")


def test_calls_are_recorded():
    model = tasks.subclassed()
    with recorded_calls(model.hidden) as calls:
        model(X)
    model(X)
    ((inputs, outputs),) = calls
    np.testing.assert_array_equal(ops.convert_to_numpy(inputs), X)
    np.testing.assert_allclose(
        ops.convert_to_numpy(model.out(outputs)), ops.convert_to_numpy(model(X)), rtol=1e-6
    )


@pytest.mark.parametrize("build", [tasks.functional, tasks.sequential, tasks.subclassed])
def test_the_gradient_at_a_layer(build):
    model = build()
    layer = model.hidden if build is tasks.subclassed else model.get_layer("hidden")
    gradient = make_layer_gradient(lambda x: model(x)[:, 1], layer)(X)
    head = model.get_weights()[2][:, 1]
    np.testing.assert_allclose(
        ops.convert_to_numpy(gradient), np.tile(head, (len(X), 1)), rtol=1e-5
    )


def test_layers_called_never_or_twice_have_no_gradient():
    shared, unused = keras.layers.Dense(4), keras.layers.Dense(4)
    unused.build((None, 4))
    inputs = keras.Input((4,))
    model = keras.Model(inputs, shared(shared(inputs)))
    with pytest.raises(ValueError, match="called once"):
        make_layer_gradient(lambda x: model(x), shared)(X)
    with pytest.raises(ValueError, match="not called"):
        make_layer_gradient(lambda x: model(x), unused)(X)
