"""Structured pruning: groups of channels, importances, smaller models, what they cost."""

from __future__ import annotations

import keras
import numpy as np

import keras_compress as kc
from keras_reweight.core.testing import Row
from keras_reweight.core.testing.tasks import features, functional, labels
from tests.compress.structured import references

_LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
_RATIO = (
    ({"ratio": 1.0}, ValueError, "ratio"),
    ({"ratio": -0.5}, ValueError, "ratio"),
    ({"ratio": "half"}, TypeError, "ratio"),
)
_SHAPES = ({"input_shapes": (None,)}, ValueError, "input_shapes")


def _data():
    return features(), labels()


def _scores(importance, model):
    graph = kc.structured.ChannelGraph(model)
    return importance.scores(graph, graph.groups)


def _weights(model):
    return model.weights


def _costs(model):
    """Of two dense layers, from the shapes of their kernels."""
    shapes = [value.shape for value in model.get_weights()[::2]]
    rows = [
        {
            "output_shape": [out],
            "num_parameters": into * out + out,
            "macs": into * out,
            "calls": 1,
        }
        for into, out in shapes
    ]
    return {"layers": rows, "uncounted": []}


def _changes(before, after):
    pair = [_costs(model)["layers"] for model in (before, after)]
    rows = [
        {
            "channels": [each["output_shape"][0] for each in rows],
            "num_parameters": [each["num_parameters"] for each in rows],
            "macs": [each["macs"] for each in rows],
        }
        for rows in zip(*pair, strict=True)
    ]
    return {"layers": rows}


def _narrow():
    return kc.prune_structured(functional(), 0.5)


def _positions(group):
    """A dense unit is a column, a bias and a row, all at its own position."""
    for piece in group.slices:
        assert np.array_equal(piece.index, piece.channel)
    return [piece.index for piece in group.slices]


_IMPORTANCE = {"kind": "object", "inputs": lambda: {"model": functional()}, "outcome": _scores}
_NORMALIZER = ({"normalizer": "word"}, ValueError, "normalizer")
_REDUCTION = ({"reduction": "word"}, ValueError, "reduction")
_BIAS = ({"bias": 1}, TypeError, "bias")
_BATCH = ({"batch_size": 0}, ValueError, "batch_size")

ROWS = [
    # Made from a model; tests/compress/structured has its tests.
    Row(kc.structured.ChannelGraph, "record"),
    Row(kc.structured.ChannelGroup, "record"),
    Row(kc.structured.WeightSlice, "record"),
    Row(
        kc.structured.channel_groups,
        "function",
        inputs=lambda: {"model": functional()},
        outcome=lambda groups: [_positions(group) for group in groups],
        knob=lambda: {"model": _narrow()},
        reference=lambda model: [[np.arange(model.get_weights()[1].size)] * 3],
        bad_arguments=(({"model": "model"}, TypeError, "model"),),
    ),
    Row(kc.structured.ChannelImportance, "base"),
    Row(kc.structured.GroupImportance, "base"),
    Row(
        kc.structured.GroupMagnitude,
        arguments={"p": 1, "normalizer": "max", "reduction": "sum"},
        knob={"p": 3},
        reference=references.magnitude,
        bad_arguments=(({"p": 0}, ValueError, "p"), _NORMALIZER, _REDUCTION, _BIAS),
        **_IMPORTANCE,
    ),
    Row(
        kc.structured.GroupLAMP,
        arguments={"p": 1, "reduction": "first"},
        knob={"reduction": "mean"},
        reference=references.lamp,
        bad_arguments=(({"p": -1}, ValueError, "p"), _REDUCTION, _BIAS),
        **_IMPORTANCE,
    ),
    Row(
        kc.structured.GroupGeometricMedian,
        arguments={"normalizer": "sum", "reduction": "first"},
        knob={"reduction": "mean"},
        reference=references.geometric_median,
        bad_arguments=(_NORMALIZER, _REDUCTION),
        **_IMPORTANCE,
    ),
    Row(
        kc.structured.RandomImportance,
        arguments={"seed": 3},
        knob={"seed": 4},
        reference=lambda seed: {"hidden": np.random.default_rng(seed).random(5)},
        bad_arguments=(({"seed": -1}, ValueError, "seed"),),
        **_IMPORTANCE,
    ),
    Row(
        kc.structured.GroupTaylor,
        arguments=lambda: {"data": _data(), "loss": _LOSS, "normalizer": "sum", "batch_size": 5},
        knob={"multivariable": True},
        reference=references.taylor,
        bad_arguments=(
            _BATCH,
            _NORMALIZER,
            _REDUCTION,
            _BIAS,
            ({"multivariable": 1}, TypeError, "multivariable"),
            ({"data": features()}, ValueError, "data"),
        ),
        **_IMPORTANCE,
    ),
    Row(
        kc.structured.GroupHessian,
        arguments=lambda: {"data": _data(), "loss": _LOSS, "reduction": "sum", "batch_size": 5},
        knob={"reduction": "first"},
        reference=references.hessian,
        bad_arguments=(
            _BATCH,
            _NORMALIZER,
            _REDUCTION,
            _BIAS,
            ({"data": features()}, ValueError, "data"),
        ),
        **_IMPORTANCE,
    ),
    Row(
        kc.structured.ChannelBudget,
        "object",
        arguments={"cost": "parameters", "max_ratio": 0.9, "min_channels": 2},
        inputs=lambda: {"model": functional()},
        outcome=lambda budget, model: kc.prune_structured(model, 0.5, budget=budget).weights,
        knob={"cost": "channels", "min_channels": 4},
        # 8 of the 43 parameters go with a unit.
        reference=lambda model: references.pruned(model, 2),
        bad_arguments=(
            ({"cost": "euros"}, ValueError, "cost"),
            ({"max_ratio": 0.0}, ValueError, "max_ratio"),
            ({"min_channels": 0}, ValueError, "min_channels"),
        ),
    ),
    Row(
        kc.structured.Latency,
        "object",
        inputs=lambda: {"model": functional()},
        # A time is never the same twice: only that it can be measured is looked at.
        outcome=lambda latency, model: None if latency(model) > 0.0 else False,
        bad_arguments=(
            ({"batch_size": 0}, ValueError, "batch_size"),
            ({"repeats": 0}, ValueError, "repeats"),
        ),
    ),
    Row(
        kc.prune_structured,
        "function",
        arguments={"scope": "global", "round_to": 1},
        inputs=lambda: {"model": functional(), "ratio": 0.5},
        outcome=_weights,
        knob={"round_to": 3},
        reference=lambda model: references.pruned(model, 2),
        bad_arguments=(
            *_RATIO,
            ({"model": "model"}, TypeError, "model"),
            ({"importance": "best"}, ValueError, "importance"),
            ({"scope": "word"}, ValueError, "scope"),
            ({"budget": "euros"}, ValueError, "budget"),
            ({"layers": "missing"}, ValueError, "layers"),
            ({"round_to": 0}, ValueError, "round_to"),
            ({"compensate": "luck"}, ValueError, "compensate"),
            ({"importance": "taylor"}, ValueError, "data"),
        ),
    ),
    Row(
        kc.structured.iterative_structured,
        "function",
        arguments={"steps": 2},
        inputs=lambda: {
            "model": functional(),
            "ratio": 0.5,
            "fine_tune": lambda model, step: None,
        },
        outcome=_weights,
        knob={"ratio": 0.2},
        reference=lambda model: references.pruned(model, 2),
        bad_arguments=(*_RATIO, ({"steps": 0}, ValueError, "steps")),
    ),
    Row(
        kc.structured.structural_report,
        "function",
        inputs=lambda: {"before": functional(), "after": _narrow()},
        knob=lambda: {"after": functional()},
        reference=_changes,
        bad_arguments=(({"after": "model"}, TypeError, "after"), _SHAPES),
    ),
    Row(kc.structured.StructuralReport, "record"),
    Row(
        kc.analysis.count_macs,
        "function",
        inputs=lambda: {"model": functional()},
        knob=lambda: {"model": _narrow()},
        reference=_costs,
        bad_arguments=(({"model": "model"}, TypeError, "model"), _SHAPES),
    ),
    Row(kc.analysis.ComputeReport, "record"),
]
