import copy

import keras
import pytest

from keras_reweight.signatures import shallow
from tests.reweight.signatures import models


def names(chosen):
    return [layer.name for layer in chosen]


@pytest.mark.parametrize(
    ("kind", "number", "expected"),
    (
        ("functional", 1, ["early", "early_norm"]),
        ("functional", 2, ["early", "early_norm", "late", "late_norm"]),
        ("functional", 9, ["early", "early_norm", "late", "late_norm"]),
        ("sequential", 1, ["early", "early_norm"]),
        ("subclassed", 1, ["conv", "norm"]),
        ("nested", 1, ["inner_first"]),
        ("nested", 2, ["inner_first", "inner_second"]),
        ("nested", 3, ["inner_first", "inner_second"]),
    ),
)
def test_takes_the_first_layers_in_topological_order(kind, number, expected):
    assert names(shallow(number).resolve(models.build(kind))) == expected


def test_options():
    model = models.functional()
    assert names(shallow(1, normalization=False).resolve(model)) == ["early"]
    assert names(shallow(9, normalization=False).resolve(model)) == ["early", "late"]
    assert names(shallow(2, head=True, normalization=False).resolve(model)) == ["early", "late"]
    assert names(shallow(3, head=True).resolve(model))[-1] == "head"
    assert names(shallow(9, head=True, normalization=False).resolve(model)) == [
        "early",
        "late",
        "head",
    ]


def test_normalization_before_the_first_kernel_is_taken_and_before_a_later_one_not():
    layers = [
        keras.layers.LayerNormalization(name="norm0", axis=(1, 2)),
        keras.layers.Dense(3, name="dense0"),
        keras.layers.Dense(3, name="dense1"),
        keras.layers.BatchNormalization(name="norm1"),
        keras.layers.Dense(3, name="dense2"),
    ]
    model = keras.Sequential([keras.Input((2, 3)), *layers])
    assert len(model.get_layer("norm0").gamma.shape) == 2
    assert names(shallow(1).resolve(model)) == ["norm0", "dense0"]
    assert names(shallow(2).resolve(model)) == ["norm0", "dense0", "dense1", "norm1"]


def test_attention_counts_as_its_four_kernels():
    inputs = keras.Input((3, 4))
    attention = keras.layers.MultiHeadAttention(2, 2)(inputs, inputs)
    model = keras.Model(inputs, keras.layers.Dense(1)(attention))
    assert names(shallow(9).resolve(model)) == ["query", "key", "value", "attention_output"]


def test_frozen_layers_and_a_shared_layer_count_once():
    shared = keras.layers.Dense(3, name="shared")
    inputs = keras.Input((3,))
    outputs = keras.layers.Dense(1, name="head")(shared(shared(inputs)))
    model = keras.Model(inputs, outputs)
    shared.trainable = False
    assert names(shallow(5, head=True).resolve(model)) == ["shared", "head"]


def test_is_configurable_and_copies():
    chosen = shallow(3, head=True)
    for twin in (
        copy.deepcopy(chosen),
        keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(chosen)),
    ):
        assert twin == chosen and hash(twin) == hash(chosen)
    assert chosen != shallow(3)
    assert repr(chosen) == "shallow(3, head=True, normalization=True)"


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    (
        ({"num_layers": 0}, ValueError, "`num_layers` must be >= 1, got 0"),
        ({"num_layers": 1.5}, TypeError, "`num_layers` must be an integer, got 1.5"),
        ({"num_layers": 1, "head": "yes"}, ValueError, "`head`.*'yes'"),
        ({"num_layers": 1, "normalization": None}, ValueError, "`normalization`.*None"),
    ),
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        shallow(**arguments)


def test_nothing_to_choose():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    with pytest.raises(ValueError, match=r"shallow\(7, head=False\).* has 1 layers with a kernel"):
        shallow(7).resolve(model)
    with pytest.raises(ValueError, match="not built"):
        shallow(7).resolve(keras.Sequential([keras.layers.Dense(1)]))
    with pytest.raises(TypeError, match="`model`"):
        shallow(7).resolve("model")
