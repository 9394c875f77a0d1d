"""Which quantizer a layer gets."""

import re

import keras
import pytest

import keras_compress as kc
from keras_compress.quantization.assignment import assign, parse
from keras_compress.quantization.supported import refusal


def names(spec):
    """Layer name -> assigned bits, for a model of three layers and one that is refused."""
    made = [keras.layers.Dense(2, name=name) for name in ("conv_a", "conv_b", "head")]
    made.append(keras.layers.ReLU(name="relu"))
    keras.Sequential([keras.Input((2,)), *made])
    found = assign("weights", spec, {layer.name: layer for layer in made}, refusal)
    return {layer.name: found[id(layer)] for layer in made if id(layer) in found}


@pytest.mark.parametrize(
    "spec, expected",
    [
        (3, {"conv_a": 3, "conv_b": 3, "head": 3}),
        ("int8", {"conv_a": 8, "conv_b": 8, "head": 8}),
        (None, {}),
        ({"head": 2}, {"head": 2}),
        ({"*": 4, "head": 2}, {"conv_a": 4, "conv_b": 4, "head": 2}),
        ({"head": None, "*": "int5"}, {"conv_a": 5, "conv_b": 5}),
        ({"conv*": 4, "*": 6, "conv_b": 2}, {"conv_a": 4, "conv_b": 2, "head": 6}),
        ({re.compile("_b$"): 3, "conv_?": 7}, {"conv_a": 7, "conv_b": 3}),
    ],
)
def test_names_come_before_patterns_and_these_in_order(spec, expected):
    assert names(spec) == expected


@pytest.mark.parametrize(
    "spec, error, message",
    [
        (1, ValueError, "`weights`.* got 1"),
        (9, ValueError, "`weights`.* got 9"),
        (4.0, TypeError, "`weights`.* got 4.0"),
        ("int9", ValueError, "'int2' to 'int8', got 'int9'"),
        ("four", ValueError, "got 'four'"),
        ({"tail": 4}, ValueError, "no layer matches 'tail'"),
        ({"t*": 4}, ValueError, "no layer matches 't\\*'"),
        ({"head": 1}, ValueError, "`weights\\['head'\\]`.* got 1"),
        ({"relu": 4}, ValueError, "'relu' cannot be quantized: ReLU has no weight matrix"),
        ({3: 4}, TypeError, "got 3"),
        ({"class_name": "Dense", "config": {"units": 3}}, Exception, "Dense"),
    ],
)
def test_bad_specifications_are_refused(spec, error, message):
    with pytest.raises(error, match=message):
        names(spec)


def test_quantizers_and_configs():
    quantizer = kc.quantizers.StatsQuantizer(3)
    assert parse("weights", quantizer) is quantizer
    restored = parse("weights", keras.saving.serialize_keras_object(quantizer))
    assert restored.get_config() == quantizer.get_config()
    with pytest.raises(TypeError, match="not the config of a Quantizer"):
        parse("weights", keras.saving.serialize_keras_object(keras.layers.ReLU()))
