"""Graphs are copied whole: structure, values, flags, seeds; compile state is not."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_compress._rebuild import (
    check_rebuildable,
    copy_layer,
    copy_state,
    graph_layers,
    rebuild,
)
from tests.compress.quantization.common import normal, numpy, weights_of

X = normal(4, 6)


def clone(model):
    copy, pairs = rebuild(model, copy_layer)
    for old, new in pairs.values():
        copy_state(old, new)
    return copy


def network():
    """Two inputs, two outputs, residual, shared layer, nested Sequential in nested Functional."""
    a, b = keras.Input((6,), name="a"), keras.Input((6,), name="b")
    shared = layers.Dense(6, name="shared")
    inner = keras.Sequential([keras.Input((6,)), layers.Dense(6, name="deep")], name="inner")
    z = keras.Input((6,))
    nested = keras.Model(z, layers.BatchNormalization(name="norm")(inner(z)), name="nested")
    hidden = nested(shared(a)) + shared(b) * 2.0
    hidden = layers.Lambda(lambda x: ops.tanh(x), name="lambda")(hidden)
    outputs = {"first": layers.Dense(2, name="first")(hidden), "second": hidden[:, :3]}
    return keras.Model({"a": a, "b": b}, outputs, name="network")


def test_structure_and_outputs():
    model = network()
    model.get_layer("nested").get_layer("norm").moving_mean.assign(np.arange(6.0))
    copy = clone(model)
    inputs = {"a": X, "b": X[::-1].copy()}
    expected, found = model(inputs), copy(inputs)
    assert set(found) == {"first", "second"}
    for key in expected:
        np.testing.assert_array_equal(numpy(found[key]), numpy(expected[key]))
    assert [layer.name for layer in copy.layers if not layer.name.startswith("input")] == [
        layer.name for layer in model.layers if not layer.name.startswith("input")
    ]
    assert {layer.name for layer in graph_layers(copy)} == {
        "shared", "deep", "norm", "lambda", "first"
    }  # fmt: skip
    assert len(copy.weights) == len(model.weights)
    assert not {id(v) for v in copy.weights} & {id(v) for v in model.weights}
    assert type(copy.get_layer("nested").layers[1]) is keras.Sequential


def test_compile_state_is_not_carried_over_and_need_not_be_serializable():
    model = keras.Sequential([keras.Input((6,)), layers.Dense(2)])
    model.compile("adam", loss=lambda y_true, y_pred: ops.mean(y_pred))
    wrapped = keras.Model(model.inputs, model(model.inputs[0]))
    wrapped.compile("adam", loss=lambda y_true, y_pred: ops.mean(y_pred))
    for compiled in (model, wrapped):
        assert not clone(compiled).compiled and compiled.compiled


def test_trainable_flags_of_models_layers_and_variables():
    model = network()
    nested = model.get_layer("nested")
    nested.trainable = False
    nested.get_layer("norm").trainable = True
    model.get_layer("first").bias.trainable = False
    copy = clone(model)
    assert not copy.get_layer("nested").trainable
    assert copy.get_layer("nested").get_layer("norm").trainable
    assert [v.trainable for v in copy.weights] == [v.trainable for v in model.weights]
    assert len(copy.trainable_variables) == len(model.trainable_variables)


def test_seed_states_are_copied():
    model = keras.Sequential([keras.Input((6,)), layers.Dropout(0.5, seed=3)])
    model(X, training=True)
    copy = clone(model)
    np.testing.assert_array_equal(numpy(copy(X, training=True)), numpy(model(X, training=True)))


def test_sequential_input_keeps_dtype_batch_and_name():
    model = keras.Sequential(
        [keras.Input(batch_shape=(4, 3), dtype="int32", name="ids"), layers.Embedding(5, 2)]
    )
    copy = clone(model)
    assert type(copy) is keras.Sequential
    found, wanted = copy.inputs[0], model.inputs[0]
    assert (found.shape, found.dtype, found.name) == (wanted.shape, wanted.dtype, wanted.name)


def test_optional_inputs_stay_optional():
    a, b = keras.Input((6,), name="a"), keras.Input((6,), name="b", optional=True)

    class Add(layers.Layer):
        def call(self, x, y=None):
            return x if y is None else x + y

        def compute_output_shape(self, x_shape, y_shape=None):
            return x_shape

    model = keras.Model([a, b], Add()(a, b))
    np.testing.assert_array_equal(numpy(clone(model)([X, None])), X)


def test_a_class_without_constructor_is_kept():
    class Own(keras.Model):
        def train_step(self, *args, **kwargs):
            return super().train_step(*args, **kwargs)

    class Stack(keras.Sequential):
        pass

    a = keras.Input((6,))
    assert type(clone(Own(a, layers.Dense(2)(a)))) is Own
    assert type(clone(Stack([a, layers.Dense(2)]))) is Stack


def test_a_class_with_a_constructor_becomes_a_plain_model_with_a_warning():
    class Own(keras.Model):
        def __init__(self, units):
            a = keras.Input((6,))
            super().__init__(a, layers.Dense(units)(a))

    model = Own(3)
    with pytest.warns(UserWarning, match="Own has a constructor of its own"):
        copy, _ = rebuild(model, copy_layer)
    assert not isinstance(copy, Own)
    assert [variable.shape for variable in copy.weights] == [(6, 3), (3,)]


def test_weights_outside_of_the_graph_are_reported():
    a = keras.Input((6,))
    model = keras.Model(a, layers.Dense(2)(a))
    model.extra = layers.Dense(3, name="extra")
    model.extra.build((None, 2))
    with pytest.warns(UserWarning, match="belong to no layer of its graph"):
        rebuild(model, copy_layer)


def test_subclassed_models_are_refused_with_advice():
    class Own(keras.Model):
        pass

    with pytest.raises(ValueError, match=r"in its constructor, `self.dense = Wrapped\(\.\.\.\)`"):
        check_rebuildable(Own(), "quantize_aware", "Wrapped(...)")


def test_layers_that_cannot_be_copied_are_named():
    class Closed(layers.Layer):
        def __init__(self, thing):
            super().__init__(name="closed")
            self.thing = thing

        def call(self, x):
            return x

        def get_config(self):
            raise NotImplementedError("no config.")

    with pytest.raises(ValueError, match="'closed' .Closed. cannot be copied"):
        copy_layer(Closed(object()))


def test_an_incomplete_config_is_noticed():
    class Forgets(layers.Layer):
        def __init__(self, units=2, **kwargs):
            super().__init__(**kwargs)
            self.dense = layers.Dense(units)

        def build(self, input_shape):
            self.dense.build(input_shape)

        def call(self, x):
            return self.dense(x)

        def compute_output_shape(self, input_shape):
            return (*input_shape[:-1], self.dense.units)

        def get_config(self):
            return super().get_config()

    model = keras.Sequential([keras.Input((6,)), Forgets(3)])
    before = weights_of(model)
    with pytest.raises(ValueError, match="does not describe it completely"):
        clone(model)
    for old, new in zip(before, weights_of(model), strict=True):
        np.testing.assert_array_equal(old, new)
