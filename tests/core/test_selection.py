"""layers= takes names, paths, patterns, predicates and objects, and an empty choice raises."""

import re

import keras
import numpy as np
import pytest

from keras_reweight.core.selection import all_layers, layers_by_path, leaf_layers, select_layers


def build():
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4, name="deep")], name="inner")
    inputs = keras.Input((4,))
    shared = keras.layers.Dense(4, name="shared")
    outputs = keras.layers.Dense(1, name="head")(inner(shared(shared(inputs))))
    return keras.Model(inputs, keras.layers.ReLU(name="relu")(outputs))


def names(selection):
    return [layer.name for layer in selection.touched]


def test_leaves_open_nested_models_and_list_shared_layers_once():
    found = [layer.name for layer in leaf_layers(build())]
    assert [name for name in found if name in ("shared", "deep", "head", "relu")].count(
        "shared"
    ) == 1
    assert {"shared", "deep", "head", "relu"} <= set(found) and "inner" not in found
    assert "inner" in [layer.name for layer in all_layers(build())]


def test_paths_of_two_layers_with_one_name_differ():
    class Pair(keras.Model):
        def __init__(self):
            super().__init__()
            self.first, self.second = (keras.layers.Dense(1, name="twin") for _ in range(2))

        def call(self, x):
            return self.second(self.first(x))

    model = Pair()
    model(np.ones((1, 2), "float32"))
    assert list(layers_by_path(model)) == ["twin", "twin#1"]
    assert len(select_layers(model, "twin").touched) == 2
    assert select_layers(model, "twin#1").touched == [model.second]


def test_every_form():
    model = build()
    head = model.get_layer("head")
    assert names(select_layers(model, "head")) == ["head"]
    assert names(select_layers(model, "inner/deep")) == ["deep"]
    assert names(select_layers(model, head)) == ["head"]

    class First:
        def resolve(self, model):
            return leaf_layers(model)[:1]

    assert select_layers(model, First()).touched == leaf_layers(model)[:1]
    assert names(select_layers(model, re.compile("^inner/"))) == ["deep"]
    dense = select_layers(model, lambda layer: isinstance(layer, keras.layers.Dense))
    assert sorted(names(dense)) == ["deep", "head", "shared"]
    assert sorted(names(select_layers(model, ["head", re.compile("shared")]))) == ["head", "shared"]


def test_reasons_are_reported():
    model = build()

    def accept(layer):
        return None if isinstance(layer, keras.layers.Dense) else "has no kernel"

    selection = select_layers(model, accept=accept)
    assert selection.skipped["relu"] == "has no kernel"
    selection = select_layers(model, "head", accept=accept)
    assert selection.skipped["shared"] == "not selected"


def test_errors():
    model = build()
    with pytest.raises(ValueError, match="no layer named 'haed'.*head"):
        select_layers(model, "haed")
    with pytest.raises(ValueError, match="'nothing'"):
        select_layers(model, re.compile("nothing"))
    with pytest.raises(ValueError, match="does not belong"):
        select_layers(model, keras.layers.Dense(1))
    with pytest.raises(ValueError, match="selects no layer"):
        select_layers(model, lambda layer: False)
    with pytest.raises(TypeError, match="`layers`.*3"):
        select_layers(model, 3)
    with pytest.raises(ValueError, match="not built"):
        select_layers(keras.Sequential([keras.layers.Dense(1)]))
