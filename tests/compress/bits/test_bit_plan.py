"""The record: what `test_allocate_bits` does not show."""

import copy

import pytest

import keras_compress as kc


def test_mean_equality_and_copies():
    plan = kc.bits.BitPlan({"a": 2, "b": 8}, {"a": 30, "b": 10}, 20)
    assert plan.mean_bits == 3.5 and len(plan) == 2
    assert plan == {"a": 2, "b": 8} and copy.deepcopy(plan) == plan
    assert str(plan).endswith("mean 3.500 bits, 20 bytes of weights")
    with pytest.raises(AttributeError):
        plan.num_bytes = 3


def test_plot_needs_axes():
    with pytest.raises(TypeError, match="ax"):
        kc.bits.BitPlan({"a": 2}, {"a": 30}, 20).plot(ax="axes")
