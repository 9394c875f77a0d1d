"""Pruning criteria: scores from gradients, curvature, activations, flow and movement."""

from __future__ import annotations

import functools

import numpy as np
from keras import ops

import keras_compress as kc
from keras_reweight.core.testing import Row
from keras_reweight.core.testing.tasks import functional
from tests.compress.pruning.criteria import (
    tanh_net,
    test_dual_importance,
    test_grasp,
    test_movement,
    test_optimal_brain_damage,
    test_random_scores,
    test_snip,
    test_synflow,
    test_taylor,
    test_wanda,
)
from tests.compress.pruning.criteria.tanh_net import LOSS, X, Y
from tests.compress.pruning.models import fit, weights

_DATA = {"data": (X, Y), "loss": LOSS, "batch_size": 5}
_BATCH_SIZE = ({"batch_size": 0}, ValueError, "batch_size")
_TRAINING = ({"training": "yes"}, TypeError, "training")
_LOSS = ({"loss": 3}, TypeError, "loss")
_DATA_KIND = ({"data": 3}, TypeError, "data")


def _scores(criterion, model):
    return criterion.scores(model, tanh_net.kernels(model))


def _moved(criterion):
    """Sums after an epoch of plain gradient descent."""
    model = test_movement.regression()
    memory = criterion.memory(model, [model.layers[0].kernel], "row")
    fit(model)
    scores = memory.scores()
    memory.remove()
    return scores


def _expected_movement(scale_by_learning_rate):
    kernel, bias = weights(test_movement.regression())
    by_rate = scale_by_learning_rate
    return [test_movement.reference_movement(kernel, bias, by_rate=by_rate, steps=6)]


def _kernels(_, model):
    return [v for v in model.weights if v.name == "kernel"]


def _reference_iterations(model, sparsity, rounds):
    """The flow through a weight of two positive layers without biases, pruned round by round."""
    values = [ops.convert_to_numpy(v).astype("float64") for v in _kernels(None, model)]
    size = sum(value.size for value in values)
    for number in range(1, rounds + 1):
        first, second = map(np.abs, values)
        flows = [first * second.sum(axis=1), first.sum(axis=0)[:, None] * second]
        flat = np.concatenate([flow.ravel() for flow in flows])
        count = round((1.0 - (1.0 - sparsity) ** (number / rounds)) * size)
        kept = np.ones(size)
        kept[np.argsort(flat, kind="stable")[:count]] = 0.0
        parts = np.split(kept, [first.size])
        values = [v * part.reshape(v.shape) for v, part in zip(values, parts, strict=True)]
    return values


_ROW = functools.partial(
    Row,
    kind="object",
    inputs=lambda: {"model": tanh_net.model()},
    outcome=_scores,
    mutates=True,
)

ROWS = [
    _ROW(
        kc.pruning.RandomScores,
        arguments={"seed": 3},
        knob={"seed": 4},
        reference=lambda seed: test_random_scores.reference_random(seed, [(3, 4), (4, 2)]),
        bad_arguments=(
            ({"seed": -1}, ValueError, "seed"),
            ({"seed": 0.5}, TypeError, "seed"),
        ),
    ),
    _ROW(
        kc.pruning.Taylor,
        arguments={**_DATA, "squared": False},
        knob={"squared": True},
        reference=lambda: test_taylor.reference_taylor(5, squared=False),
        bad_arguments=(
            _DATA_KIND,
            _LOSS,
            _BATCH_SIZE,
            _TRAINING,
            ({"squared": 2}, TypeError, "squared"),
        ),
    ),
    _ROW(
        kc.pruning.OptimalBrainDamage,
        arguments={**_DATA, "per_sample": False},
        knob={"data": (X[:5], Y[:5])},
        reference=lambda: test_optimal_brain_damage.reference_damage(
            per_sample=False, batch_size=5
        ),
        bad_arguments=(
            _DATA_KIND,
            _LOSS,
            _BATCH_SIZE,
            ({"per_sample": "batch"}, TypeError, "per_sample"),
        ),
    ),
    _ROW(
        kc.pruning.SNIP,
        arguments=_DATA,
        knob={"data": (X[:5], Y[:5])},
        reference=lambda: test_snip.reference_snip(),
        bad_arguments=(_DATA_KIND, _LOSS, _BATCH_SIZE, _TRAINING),
    ),
    _ROW(
        kc.pruning.GraSP,
        arguments={**_DATA, "temperature": 50.0},
        knob={"temperature": 1.0},
        reference=lambda temperature: test_grasp.reference_grasp(temperature),
        bad_arguments=(
            _DATA_KIND,
            _LOSS,
            _BATCH_SIZE,
            _TRAINING,
            ({"temperature": 0.0}, ValueError, "temperature"),
            ({"temperature": "hot"}, TypeError, "temperature"),
        ),
    ),
    _ROW(
        kc.pruning.SynFlow,
        reference=lambda: test_synflow.reference_synflow(),
        bad_arguments=(({"input_shapes": 3.5}, TypeError, "input_shapes"),),
    ),
    _ROW(
        kc.pruning.Wanda,
        arguments={"data": X, "comparison": "layer", "batch_size": 5},
        knob={"comparison": "output"},
        reference=lambda: test_wanda.reference_wanda("layer"),
        bad_arguments=(
            _DATA_KIND,
            _BATCH_SIZE,
            ({"comparison": "row"}, ValueError, "comparison"),
        ),
    ),
    _ROW(
        kc.pruning.DualImportance,
        arguments={
            "general": test_dual_importance.GENERAL,
            "domain": (X, Y),
            "loss": LOSS,
            "lam": 0.5,
            "alpha": 0.2,
            "damping": 0.05,
            "batch_size": 5,
        },
        knob={"lam": 2.0},
        reference=lambda: test_dual_importance.reference_dual(damping=0.05, batch_size=5),
        bad_arguments=(
            ({"general": 3}, TypeError, "general"),
            ({"domain": 3}, TypeError, "domain"),
            _LOSS,
            _BATCH_SIZE,
            ({"lam": -1.0}, ValueError, "lam"),
            ({"alpha": -1.0}, ValueError, "alpha"),
            ({"damping": 0.0}, ValueError, "damping"),
        ),
    ),
    Row(
        kc.pruning.Movement,
        "object",
        arguments={"scale_by_learning_rate": False},
        knob={"scale_by_learning_rate": True},
        outcome=_moved,
        reference=_expected_movement,
        bad_arguments=(({"scale_by_learning_rate": "yes"}, TypeError, "scale_by_learning_rate"),),
    ),
    Row(
        kc.pruning.prune_iteratively,
        "function",
        inputs=lambda: {"model": functional(), "sparsity": 0.6},
        arguments=lambda: {"rounds": 4, "allocation": kc.pruning.GlobalAllocation(min_keep=0.0)},
        knob={"rounds": 1},
        outcome=_kernels,
        reference=_reference_iterations,
        mutates=True,
        bad_arguments=(
            ({"sparsity": 1.0}, ValueError, "sparsity"),
            ({"sparsity": "half"}, TypeError, "sparsity"),
            ({"rounds": 0}, ValueError, "rounds"),
            ({"criterion": "synflow"}, TypeError, "criterion"),
            ({"allocation": "global"}, TypeError, "allocation"),
            ({"layers": "missing"}, ValueError, "layers"),
        ),
    ),
]
