import importlib

import keras
import pytest
from keras import layers, ops

from keras_reweight.core.graph_calls import application_layer, bare_operation, graph_calls


@pytest.mark.parametrize("kind", ["functional", "sequential"])
def test_calls_come_after_those_they_need(kind):
    shared = layers.Dense(3, name="shared")
    if kind == "sequential":
        model = keras.Sequential([keras.Input((3,)), shared, layers.ReLU(name="relu")])
        names = ["shared", "relu"]
    else:
        x = keras.Input((3,))
        y = shared(shared(x), training=True)
        model = keras.Model(x, layers.Add(name="add")([y, y * 2.0]))
        names = ["shared", "shared", "multiply", "add"]
    calls = graph_calls(model)
    assert [call.operation.name.split("_")[0] for call in calls[1:]] == names
    known = set()
    for call in calls:
        assert {id(tensor) for tensor in call.inputs} <= known
        known |= {id(tensor) for tensor in call.outputs}
    assert {id(tensor) for tensor in model.outputs} <= known
    if kind == "functional":
        assert calls[2].kwargs == {"training": True} and calls[3].args[1] == 2.0
        assert [tensor.shape for tensor in calls[-1].inputs] == [(None, 3), (None, 3)]


def test_calls_outside_the_model_do_not_count():
    x = keras.Input((3,))
    layer = layers.Dense(3)
    model = keras.Model(x, layer(x))
    layer(keras.Input((3,)))
    assert len(graph_calls(model)) == 2


def test_keras_still_keeps_its_operations_and_own_layers_where_they_are_looked_for():
    x = keras.Input((4, 4, 3))
    model = keras.Model(x, ops.relu(x + x))
    assert [bare_operation(call.operation) for call in graph_calls(model)] == [None, "Add", "Relu"]
    convnext = importlib.import_module("keras.src.applications.convnext")
    made = [convnext.LayerScale(1e-6, 3), convnext.StochasticDepth(0.1)]
    assert [application_layer(layer) for layer in made] == ["LayerScale", "StochasticDepth"]

    class LayerScale(layers.Layer):
        pass

    assert application_layer(LayerScale()) is None and bare_operation(LayerScale()) is None
