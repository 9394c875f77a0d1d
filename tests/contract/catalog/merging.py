"""Merging: several models into one."""

from __future__ import annotations

import os
import tempfile

import numpy as np

import keras_reweight as kr
from keras_reweight.core.testing import Row
from keras_reweight.signatures.live_weights import read_weights
from tests.reweight.merging import (
    test_breadcrumbs,
    test_dare,
    test_greedy_soup,
    test_learned_soup,
    test_linear,
    test_model_stock,
    test_offset_cosines,
    test_slerp,
    test_soup_collector,
    test_task_arithmetic,
    test_ties,
    test_uniform_soup,
    test_wise_ft,
)
from tests.reweight.merging.ingredients import deltas, each_weight, shared, start, tuned

_WEIGHTS = [1.0, 0.5]


def _inputs(argument, count=2, scale=0.3):
    def make():
        # Left as it is, which the contract checks; to build one takes longer than all else here.
        items = tuned(shared(), count, scale=scale)
        return {"model": shared(), argument: items if count > 1 else items[0]}

    return make


def _bad(argument, *more):
    return (
        ({"model": "model"}, TypeError, "model"),
        ({argument: []}, ValueError, argument),
        *more,
    )


_BAD_WEIGHTS = ({"weights": [1.0]}, ValueError, "weights")
_BAD_DENSITY = ({"density": 0.0}, ValueError, "density")


def _mixed(formula, argument="tuned"):
    """The formula of a test, over all weights."""

    def reference(model, **known):
        options = {k: v for k, v in known.items() if k not in (argument, "layers", "score")}
        items = known[argument] if isinstance(known[argument], list) else [known[argument]]
        return each_weight(lambda base, values: formula(base, values, **options), model, items)

    return reference


def _dare(model, tuned, **options):
    return test_dare.reference_dares(model, tuned, **options)


def _sum(arrays):
    return sum(array.astype("float64").sum() for array in arrays)


# Between the sums of the models, which average as the models do.
_TARGET = 5.45


def _score(model):
    return -((_sum(read_weights(model).values()) - _TARGET) ** 2)


def _greedy(model, ingredients):
    sums = [_sum(item.arrays) for item in ingredients]
    kept, _ = test_greedy_soup.reference_greedy(sums, lambda value: -((value - _TARGET) ** 2))
    return each_weight(
        test_uniform_soup.reference_mean, model, [ingredients[place] for place in kept]
    )


def _line():
    model, _, items, x, y = test_learned_soup.line()
    return {"model": model, "ingredients": items, "data": (x, y)}


def _learned(model, ingredients, data, epochs, learning_rate, batch_size, scale_outputs):
    kernel, _, _ = test_learned_soup.reference_learned_soup(
        [item.arrays[0].astype("float64") for item in ingredients],
        *(np.asarray(part, "float64") for part in data),
        epochs=epochs,
        rate=learning_rate,
        batch=batch_size,
        scale=scale_outputs,
    )
    return [kernel]


def _soup_arguments():
    model = shared()
    soup = kr.merging.uniform_soup(model, tuned(model, 2))
    return {
        "architecture": soup.architecture,
        "entries": soup._entries,
        "name": "soup",
        "kind": "greedy_soup",
        "coefficient": 0.5,
    }


def _soup_deltas(coefficient):
    model = shared()
    full = each_weight(test_uniform_soup.reference_mean, model, tuned(model, 2))
    return [coefficient * delta for delta in full]


def _collected(collector):
    """Kernels in the files after five epochs."""
    calls = test_soup_collector.Calls(collector)
    calls.run(5, values=_VALUES)
    start().restore(calls.model)
    changes = [kr.merging.wise_ft(calls.model, path, alpha=1.0) for path in collector.files]
    return [change.delta(0) for change in changes]


def _collected_kernels(mode):
    best = sorted(range(5), key=lambda epoch: _VALUES[epoch] * (1 if mode == "min" else -1))[:2]
    return [np.full((3, 5), 0.25 * (epoch + 1)) for epoch in sorted(best)]


_VALUES = [0.3, 0.1, 0.9, 0.2, 0.7]


ROWS = [
    Row(
        kr.merging.uniform_soup,
        "function",
        inputs=_inputs("ingredients"),
        arguments={"layers": None},
        knob={"layers": "first"},
        outcome=deltas,
        reference=_mixed(test_uniform_soup.reference_mean, "ingredients"),
        bad_arguments=_bad("ingredients", ({"layers": "missing"}, ValueError, "layers")),
    ),
    Row(
        kr.merging.greedy_soup,
        "function",
        inputs=_inputs("ingredients", 3),
        arguments={"score": _score},
        knob={"layers": "head"},
        outcome=deltas,
        reference=_greedy,
        bad_arguments=_bad(
            "ingredients",
            ({"score": None}, TypeError, "score"),
            ({"batch_norm_data": np.ones((2, 3))}, ValueError, "batch_norm_data"),
        ),
    ),
    Row(
        kr.merging.learned_soup,
        "function",
        inputs=_line,
        arguments={
            "loss": "mse",
            "epochs": 2,
            "learning_rate": 0.1,
            "batch_size": 6,
            "scale_outputs": True,
        },
        knob={"learning_rate": 0.3},
        outcome=deltas,
        reference=_learned,
        bad_arguments=_bad(
            "ingredients",
            ({"epochs": 0}, ValueError, "epochs"),
            ({"learning_rate": 0.0}, ValueError, "learning_rate"),
            ({"batch_size": 0}, ValueError, "batch_size"),
        ),
    ),
    Row(
        kr.merging.linear,
        "function",
        inputs=_inputs("models"),
        arguments={"weights": _WEIGHTS, "normalize": False},
        knob={"normalize": True},
        outcome=deltas,
        reference=_mixed(test_linear.reference_linear, "models"),
        bad_arguments=_bad(
            "models", _BAD_WEIGHTS, ({"weights": [1.0, -1.0]}, ValueError, "weights")
        ),
    ),
    Row(
        kr.merging.wise_ft,
        "function",
        inputs=_inputs("tuned", 1),
        arguments={"alpha": 0.4},
        knob={"alpha": 0.8},
        outcome=deltas,
        reference=_mixed(test_wise_ft.reference_wise_ft),
        bad_arguments=(
            ({"model": "model"}, TypeError, "model"),
            ({"alpha": 1.5}, ValueError, "alpha"),
        ),
    ),
    Row(
        kr.merging.slerp,
        "function",
        inputs=_inputs("other", 1, scale=0.8),
        arguments={"t": 0.3},
        knob={"t": 0.6},
        outcome=deltas,
        reference=_mixed(test_slerp.reference_slerp, "other"),
        bad_arguments=(
            ({"model": "model"}, TypeError, "model"),
            ({"t": -0.1}, ValueError, "t"),
        ),
    ),
    Row(
        kr.merging.model_stock,
        "function",
        inputs=_inputs("tuned", 3),
        arguments={"layers": None},
        knob={"layers": "first"},
        outcome=deltas,
        reference=_mixed(test_model_stock.reference_model_stock),
        bad_arguments=_bad("tuned"),
    ),
    Row(
        kr.merging.task_arithmetic,
        "function",
        inputs=_inputs("tuned"),
        arguments={"weights": _WEIGHTS},
        knob={"weights": [1.0, -0.5]},
        outcome=deltas,
        reference=_mixed(test_task_arithmetic.reference_task_arithmetic),
        bad_arguments=_bad("tuned", _BAD_WEIGHTS),
    ),
    Row(
        kr.merging.ties,
        "function",
        inputs=_inputs("tuned"),
        arguments={"density": 0.6, "weights": _WEIGHTS},
        knob={"density": 0.3},
        outcome=deltas,
        reference=_mixed(test_ties.reference_ties),
        bad_arguments=_bad("tuned", _BAD_WEIGHTS, _BAD_DENSITY),
    ),
    Row(
        kr.merging.dare,
        "function",
        inputs=_inputs("tuned"),
        arguments={
            "density": 0.6,
            "weights": _WEIGHTS,
            "elect_signs": True,
            "rescale": "density",
            "seed": 2,
        },
        knob={"seed": 3},
        outcome=deltas,
        reference=_dare,
        bad_arguments=_bad("tuned", _BAD_WEIGHTS, _BAD_DENSITY, ({"seed": -1}, ValueError, "seed")),
    ),
    Row(
        kr.merging.breadcrumbs,
        "function",
        inputs=_inputs("tuned"),
        arguments={"density": 0.6, "gamma": 0.2, "weights": _WEIGHTS, "elect_signs": False},
        knob={"gamma": 0.0},
        outcome=deltas,
        reference=_mixed(test_breadcrumbs.reference_breadcrumbs),
        bad_arguments=_bad(
            "tuned", _BAD_WEIGHTS, _BAD_DENSITY, ({"gamma": 1.0}, ValueError, "gamma")
        ),
    ),
    Row(
        kr.merging.offset_cosines,
        "function",
        inputs=_inputs("tuned", 3),
        arguments={"layers": None},
        knob={"layers": "first"},
        reference=test_offset_cosines.reference_offset_cosines,
        bad_arguments=_bad("tuned"),
    ),
    Row(
        kr.merging.Soup,
        "object",
        arguments=_soup_arguments,
        outcome=deltas,
        knob={"coefficient": 2.0},
        reference=_soup_deltas,
        accepts_any=("name",),
        bad_arguments=(
            ({"entries": {}}, ValueError, "entries"),
            ({"kind": "edit"}, ValueError, "kind"),
            ({"coefficient": float("inf")}, ValueError, "coefficient"),
        ),
    ),
    # It only reads weights between epochs; its own tests train with it.
    Row(
        kr.merging.SoupCollector,
        "object",
        arguments={
            "directory": f"{tempfile.gettempdir()}/keras-reweight-contract-soup-{os.getpid()}",
            "every": 1,
            "keep": 2,
            "monitor": "val_accuracy",
            "mode": "max",
        },
        outcome=_collected,
        knob={"mode": "min"},
        reference=_collected_kernels,
        accepts_any=("directory",),
        bad_arguments=(
            ({"directory": ""}, ValueError, "directory"),
            ({"every": 0}, ValueError, "every"),
            ({"keep": 0}, ValueError, "keep"),
            ({"mode": "best"}, ValueError, "mode"),
        ),
    ),
]
