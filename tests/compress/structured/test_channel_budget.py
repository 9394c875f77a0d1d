"""Budgets and their costs."""

import keras
import pytest

import keras_compress as kc
from keras_compress.structured import ChannelBudget, Latency
from tests.compress.structured import networks


@pytest.mark.parametrize(
    "arguments, error",
    [
        ({"cost": "euros"}, ValueError),
        ({"cost": 3}, TypeError),
        ({"max_ratio": 0.0}, ValueError),
        ({"max_ratio": 1.1}, ValueError),
        ({"min_channels": 0}, ValueError),
        ({"cost": Latency(batch_size=0)}, ValueError),
    ],
)
def test_wrong_arguments(arguments, error):
    with pytest.raises(error):
        kc.prune_structured(networks.dense((4,)), budget=ChannelBudget(**arguments))


def test_a_budget_of_a_latency_comes_back_from_its_config():
    budget = ChannelBudget(Latency(4, repeats=3), max_ratio=0.5)
    saved = keras.saving.serialize_keras_object(budget)
    twin = keras.saving.deserialize_keras_object(saved)
    assert twin.cost.get_config() == {"batch_size": 4, "repeats": 3}
    assert twin.max_ratio == 0.5


def test_latency_is_time_and_a_cost():
    model = networks.dense((64, 64))
    assert 0.0 < Latency(2, repeats=2)(model) < 10.0
    costs = []

    def cost(model):
        costs.append(float(sum(layer.units for layer in model.layers)))
        return costs[-1]

    small = kc.prune_structured(model, 0.5, budget=cost)
    # Of 131 units in all layers at most half; the classifier keeps its three.
    assert sum(layer.units for layer in small.layers) == 65
    assert len(costs) <= 10
