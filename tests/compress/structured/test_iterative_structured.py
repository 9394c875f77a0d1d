"""Pruning in steps: the schedule, and training in between."""

import numpy as np
import pytest

import keras_compress as kc
from keras_compress.structured import ChannelBudget, iterative_structured
from tests.compress.structured import networks


def sizes(model):
    return [layer.units for layer in model.layers[:-1]]


@pytest.mark.parametrize(
    "options, expected",
    [
        ({}, [[6, 9], [4, 6], [2, 3]]),
        ({"round_to": 2}, [[6, 8], [4, 6], [2, 2]]),
        ({"budget": ChannelBudget(max_ratio=0.5)}, [[6, 9], [4, 6], [4, 6]]),
        ({"layers": lambda layer: layer.name == "hidden1"}, [[8, 9], [8, 6], [8, 3]]),
        ({"ratio": {"hidden0": 0.75}}, [[6, 12], [4, 12], [2, 12]]),
    ],
    ids=lambda value: next(iter(value), "") if isinstance(value, dict) else "",
)
def test_the_schedule_is_linear_in_the_original_widths(options, expected):
    seen = []

    def fine_tune(model, step):
        seen.append((step, sizes(model)))

    model = networks.dense((8, 12))
    arguments = {"ratio": 0.75, "steps": 3, "fine_tune": fine_tune, **options}
    small = iterative_structured(model, **arguments)
    assert seen == list(enumerate(expected, start=1))
    assert sizes(small) == expected[-1] and sizes(model) == [8, 12]


def test_all_channels_competing_leave_as_many_as_planned():
    seen = []
    iterative_structured(
        networks.dense((8, 12)), 0.6, steps=3, scope="global",
        fine_tune=lambda model, step: seen.append(sum(sizes(model))),
    )  # fmt: skip
    assert seen == [16, 12, 8]


def test_budgets_are_shares_of_the_original():
    model, seen = networks.dense((16, 12)), []
    iterative_structured(
        model, 0.6, steps=2, budget="macs",
        fine_tune=lambda small, step: seen.append(kc.analysis.count_macs(small).macs),
    )  # fmt: skip
    total = kc.analysis.count_macs(model).macs
    assert seen[0] <= 0.7 * total and seen[1] <= 0.4 * total


def test_training_decides_what_goes_next():
    model = networks.dense((4,))

    def fine_tune(small, step):
        if step == 1:
            kernel, bias = small.get_layer("hidden0").get_weights()
            small.get_layer("hidden0").set_weights([kernel * [1.0, 1.0, 0.0], bias + step])
            reading, offset = small.get_layer("head").get_weights()
            small.get_layer("head").set_weights([reading * [[1.0], [1.0], [0.0]], offset])

    small = iterative_structured(model, 0.5, steps=2, fine_tune=fine_tune)
    first = kc.prune_structured(model, 0.25)
    found, expected = (each.get_layer("hidden0").get_weights()[0] for each in (small, first))
    np.testing.assert_array_equal(found, expected[:, :2])


@pytest.mark.parametrize(
    "arguments, error",
    [
        ({"steps": 0}, ValueError),
        ({"steps": 1.5}, TypeError),
        ({"fine_tune": None}, TypeError),
        ({"ratio": 1.0}, ValueError),
    ],
)
def test_wrong_arguments(arguments, error):
    given = {"steps": 2, "fine_tune": lambda model, step: None, **arguments}
    with pytest.raises(error, match=next(iter(arguments))):
        iterative_structured(networks.dense((4,)), **given)
