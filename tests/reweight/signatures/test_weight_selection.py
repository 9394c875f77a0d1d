import re

import keras
import pytest

from keras_reweight.signatures import shallow
from keras_reweight.signatures.weight_selection import select_weights
from tests.reweight.signatures import models


def paths(model, layers, batch_norm="affine"):
    chosen = select_weights(model, layers, batch_norm)
    return ["/".join(model.weights[i].path.split("/")[-2:]) for i in chosen.indices]


def pair(*names):
    return [f"{name}/{part}" for name in names for part in ("kernel", "bias")]


@pytest.mark.parametrize(
    "layers",
    (
        "late",
        ["late"],
        re.compile("^late$"),
        lambda layer: layer.name == "late",
        lambda layer: isinstance(layer, keras.layers.Conv2D) and layer.filters == 4,
    ),
)
def test_every_way_to_name_a_layer(layers):
    assert paths(models.functional(), layers) == pair("late")


def test_lists_mix_ways_and_keep_the_order_of_the_model():
    model = models.functional()
    layers = [model.get_layer("head"), shallow(1, normalization=False), re.compile("late$")]
    assert paths(model, layers) == pair("early", "late", "head")


def test_batch_normalization():
    model = models.functional()
    affine = ["early_norm/gamma", "early_norm/beta"]
    statistics = ["early_norm/moving_mean", "early_norm/moving_variance"]
    assert paths(model, shallow(1), "skip") == pair("early")
    assert paths(model, shallow(1), "affine") == pair("early") + affine
    assert paths(model, shallow(1), "statistics") == pair("early") + affine + statistics
    chosen = select_weights(model, shallow(1), "statistics")
    assert {model.weights[i].path for i in chosen.statistics} == set(statistics)
    assert select_weights(model, shallow(1), "affine").statistics == frozenset()


def test_none_takes_all_floats():
    model = models.functional()
    assert len(paths(model, None, "statistics")) == len(model.weights)
    assert not [path for path in paths(model, None) if "moving" in path]
    assert paths(models.subclassed(), None) == [
        "subclassed/offset",
        "block/gain",
        *pair("conv"),
        "norm/gamma",
        "norm/beta",
        *pair("head"),
    ]


def test_containers_stand_for_what_they_hold():
    model = models.nested()
    both = pair("inner_first", "inner_second")
    assert paths(model, "inner") == paths(model, model.get_layer("inner")) == both
    assert paths(model, "inner/inner_second") == pair("inner_second")
    subclassed = models.subclassed()
    block = ["block/gain", *pair("conv"), "norm/gamma", "norm/beta"]
    assert paths(subclassed, "block") == paths(subclassed, subclassed.block) == block
    assert paths(subclassed, lambda layer: layer.name == "block") == ["block/gain"]


def test_reports_what_was_left_out():
    skipped = select_weights(models.functional(), ["early", "early_norm"], "skip").skipped
    assert skipped == {
        "early_norm": "batch normalization, and batch_norm='skip'",
        "late": "not selected",
        "late_norm": "not selected",
        "head": "not selected",
    }


def test_integer_weights_are_left_out():
    class Counting(keras.layers.Layer):
        def build(self, input_shape):
            self.count = self.add_weight(shape=(), dtype="int32", trainable=False)

        def call(self, x):
            return x

    layers = [Counting(name="counting"), keras.layers.Dense(1, name="head")]
    model = keras.Sequential([keras.Input((2,)), *layers])
    assert paths(model, None) == pair("head")
    assert select_weights(model, None, "skip").skipped == {
        "counting": "no floating-point weights to change"
    }
    with pytest.raises(ValueError, match="no floating-point weights to change"):
        select_weights(model, "counting", "skip")


@pytest.mark.parametrize(
    ("layers", "error", "message"),
    (
        ("third", ValueError, "no layer named 'third'"),
        (["early", "third"], ValueError, "no layer named 'third'"),
        (re.compile("third"), ValueError, "'third' matches no layer"),
        (lambda layer: False, ValueError, "selects no layer"),
        ([], ValueError, r"`layers`=\[\] selects no layer"),
        (keras.layers.Dense(1, name="other"), ValueError, "'other' does not belong"),
        (3, TypeError, "`layers` takes layer names"),
        ("dropout", ValueError, "no layer named 'dropout'"),
    ),
)
def test_selections_of_nothing(layers, error, message):
    with pytest.raises(error, match=message):
        select_weights(models.functional(), layers, "affine")
