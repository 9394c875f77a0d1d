"""Argument checks name the argument and the value."""

import keras
import numpy as np
import pytest

from keras_reweight.core import validation as v


@pytest.mark.parametrize(
    ("value", "bounds", "message"),
    [
        (-1, {"minimum": 0}, "`alpha` must be >= 0, got -1"),
        (2.0, {"maximum": 1}, "`alpha` must be <= 1, got 2.0"),
        (0.0, {"exclusive_minimum": 0}, "> 0, got 0.0"),
        (1.0, {"minimum": 0, "exclusive_maximum": 1}, ">= 0 and < 1, got 1.0"),
        (float("inf"), {}, "finite, got inf"),
        (np.float32("nan"), {}, "finite"),
    ],
)
def test_numbers(value, bounds, message):
    with pytest.raises(ValueError, match=message):
        v.check_number("alpha", value, **bounds)


@pytest.mark.parametrize("value", ["1", None, True, [1.0]])
def test_not_a_number(value):
    with pytest.raises(TypeError, match="`alpha`.*number"):
        v.check_number("alpha", value)


def test_valid_values_pass():
    v.check_number("alpha", np.float32(0.5), minimum=0, maximum=1)
    v.check_integer("n", np.int64(3), minimum=1)
    v.check_choice("scope", "a", ["a", "b"])
    v.check_sparsity("sparsity", 0.0)


def test_integers_choices_sparsity():
    with pytest.raises(TypeError, match="`n`.*integer, got 1.5"):
        v.check_integer("n", 1.5)
    with pytest.raises(ValueError, match="`scope`.*'a'.*got 'c'"):
        v.check_choice("scope", "c", ["a", "b"])
    with pytest.raises(ValueError, match="`sparsity`.*1.0"):
        v.check_sparsity("sparsity", 1.0)


def test_booleans():
    v.check_boolean("flag", False)
    with pytest.raises(TypeError, match="`flag`.*got 1"):
        v.check_boolean("flag", 1)


def test_built():
    with pytest.raises(ValueError, match="strip.*not built"):
        v.check_built(keras.Sequential([keras.layers.Dense(1)]), "strip")
    with pytest.raises(TypeError, match="strip.*keras.Model.*3"):
        v.check_built(3, "strip")
