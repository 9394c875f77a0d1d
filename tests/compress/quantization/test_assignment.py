"""Which quantizer a layer gets."""

import re

import keras
import pytest

import keras_compress as kc
from keras_compress.quantization.assignment import Target, assign, names_of, parse
from keras_compress.quantizers.methods import METHODS


def target(path, *more, reason=None):
    name = path.split("/")[-1]
    return Target(path, path, names_of(path, *more), (name, path), reason)


TARGETS = [
    target("conv_a", "<first>"),
    target("conv_b"),
    target("head", "<last>"),
    target("relu", reason="ReLU has no weight matrix"),
]
INSIDE = [target("block/query"), target("block/norm", reason="no"), target("block/out/kernel")]


def names(spec, targets=TARGETS):
    """Name -> assigned bits, for three layers and one that is refused."""
    return assign("weights", spec, targets)


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
    "spec, expected",
    [
        ({"<first>": 8, "<last>": 6, "*": 2}, {"conv_a": 8, "conv_b": 2, "head": 6}),
        ({"relu": None, "*": 2}, {"conv_a": 2, "conv_b": 2, "head": 2}),
    ],
)
def test_ends_have_names(spec, expected):
    assert names(spec) == expected


def test_containers_stand_for_what_is_in_them_and_parts_come_before_them():
    expected = {"block/query": 4, "block/out/kernel": 7}
    assert names({"block/out/kernel": 7, "block": 4}, INSIDE) == expected
    assert names({"block": 4, "out": 7}, INSIDE) == expected
    assert names({"*": 4, "block/out": 7}, INSIDE) == expected
    with pytest.raises(ValueError, match="'norm' cannot be quantized: no"):
        names({"norm": 4}, INSIDE)


@pytest.mark.parametrize(
    "spec, error, message",
    [
        (0, ValueError, "`weights`.* got 0"),
        (9, ValueError, "`weights`.* got 9"),
        (4.0, TypeError, "`weights`.* got 4.0"),
        ("int9", ValueError, "'int1' to 'int8'.* got 'int9'"),
        ("magic3", ValueError, "'minmax'.* got 'magic3'"),
        ("lsq", ValueError, "got 'lsq'"),
        ("four", ValueError, "got 'four'"),
        ({"tail": 4}, ValueError, "no layer matches 'tail'"),
        ({"t*": 4}, ValueError, "no layer matches 't\\*'"),
        ({"head": 0}, ValueError, "`weights\\['head'\\]`.* got 0"),
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


@pytest.mark.parametrize(
    "name, kind, bits",
    [
        ("stats3", kc.quantizers.StatsQuantizer, 3),
        ("lsq_plus2", kc.quantizers.LSQPlusQuantizer, 2),
        ("lsq1", kc.quantizers.BinaryQuantizer, 1),
        ("codebook4", kc.quantizers.CodebookQuantizer, 4),
        ("power3", kc.quantizers.PowerQuantizer, 3),
        ("binary", kc.quantizers.BinaryQuantizer, 1),
        ("ternary", kc.quantizers.TernaryQuantizer, 2),
        ("e4m3", kc.quantizers.FloatQuantizer, 8),
        ("e2m1", kc.quantizers.FloatQuantizer, 4),
    ],
)
def test_names_of_quantizers(name, kind, bits):
    quantizer = parse("weights", name)
    assert type(quantizer) is kind and quantizer.bits == bits


def test_every_method_makes_a_quantizer_of_any_bits():
    for name, make in METHODS.items():
        for bits in range(2, 9):
            assert make(bits).bits == parse("weights", f"{name}{bits}").bits == bits
    assert (
        type(parse("weights", "e5m2")).from_config(parse("weights", "e5m2").get_config()).format
        == "e5m2"
    )
    assert parse("weights", "e5m2").get_config()["format"] == "e5m2"
