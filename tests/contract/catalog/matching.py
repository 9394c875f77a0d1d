"""Lining up the channels of two models."""

from __future__ import annotations

import functools

import keras
import numpy as np

import keras_reweight as kr
from keras_reweight.core.mode_connectivity import ModeConnectivity
from keras_reweight.core.testing import Row
from keras_reweight.signatures.live_weights import read_weights
from tests.reweight.matching import references
from tests.reweight.signatures import models

_X = np.random.default_rng(0).normal(size=(9, 3)).astype("float32")
_Y = np.array([0, 1, 1, 0, 1, 0, 0, 1, 0])
_LOSS = keras.losses.MeanSquaredError()
_CURVE = ModeConnectivity(np.linspace(0, 1, 3), np.array([0.2, 1.0, 0.4]))
_ORDERS = {"first": np.array([3, 1, 0, 4, 2])}


def _weights(model):
    return [np.array(array) for array in read_weights(model).values()]


@functools.cache
def _dense(seed):
    """Nothing here changes a model, so each is built once."""
    return models.dense(seed)


def _pair():
    return {"model1": _dense(0), "model2": _dense(1)}


def _permutations(matching):
    return list(matching.permutations.values())


def _changed(patch):
    return [patch.delta(index) for index in patch.indices]


def _best(model1, model2):
    """One hidden layer at a time is tried in all orders, until that changes nothing."""
    first, second = _weights(model1), _weights(model2)
    orders = [np.arange(5), np.arange(4)]
    # The order of visits that the seed of the row gives.
    rng = np.random.default_rng(3)
    while True:
        before = [order.copy() for order in orders]
        for number in rng.permutation(2):
            orders[number] = references.best_order(first, second, orders, number)
        if all(map(np.array_equal, orders, before)):
            return orders


def _by_activations(model1, model2, data, measure):
    scores = references.activation_scores(_weights(model1), _weights(model2), data, measure)
    return references.best_assignments(scores)


def _moved(model):
    before = _weights(model)
    after = references.permuted(before, [_ORDERS["first"], np.arange(4)])
    return [after[number] - before[number] for number in (0, 1, 2)]


def _curve(model1, model2, data):
    ends = _weights(model1), references.permuted(_weights(model2), [_ORDERS["first"], np.arange(4)])
    values = []
    for t in np.linspace(0, 1, 4):
        mean = [(1 - t) * a + t * b for a, b in zip(*ends, strict=True)]
        head, offset = references.layers_of(mean)[-1]
        scores = references.hidden(mean, data[0])[-1] @ head + offset
        values.append(np.mean((scores - data[1]) ** 2))
    return np.array(values)


@functools.cache
def _shuffled(seed=1):
    """A model, and the same with its units in another order and some noise."""
    first, second = _dense(0), models.dense()
    noise = np.random.default_rng(seed)
    weights = references.permuted(_weights(first), _planted(seed))
    second.set_weights([w + 0.02 * noise.normal(size=w.shape) for w in weights])
    return {"models": [first, second]}


def _planted(seed):
    rng = np.random.default_rng(seed)
    return [rng.permutation(5), rng.permutation(4)]


def _unshuffled():
    return [np.argsort(order) for order in _planted(1)]


def _mean(models):
    first, second = (_weights(model) for model in models)
    second = references.permuted(second, _unshuffled())
    return [(b.astype("float64") - a) / 2 for a, b in zip(first, second, strict=True)]


_SEARCH = (
    ({"max_sweeps": 0}, ValueError, "max_sweeps"),
    ({"seed": -1}, ValueError, "seed"),
)
_MODEL1 = ({"model1": "model"}, TypeError, "model")
_MODEL2 = ({"model2": "model"}, TypeError, "model2")

ROWS = [
    Row(kr.matching.ChannelMatching, "record"),
    Row(kr.matching.AlignmentReport, "record"),
    Row(
        kr.matching.match_weights,
        "function",
        inputs=_pair,
        arguments={"max_sweeps": 20, "seed": 3},
        outcome=_permutations,
        knob=lambda: {"model2": _dense(2)},
        reference=_best,
        bad_arguments=(*_SEARCH, _MODEL1, _MODEL2),
    ),
    Row(
        kr.matching.match_activations,
        "function",
        inputs=lambda: {**_pair(), "data": _X},
        arguments={"measure": "inner_product", "batch_size": 5},
        outcome=_permutations,
        knob={"measure": "correlation"},
        reference=_by_activations,
        bad_arguments=(
            _MODEL1,
            _MODEL2,
            ({"measure": "distance"}, ValueError, "measure"),
            ({"batch_size": 0}, ValueError, "batch_size"),
            ({"data": "data"}, TypeError, "data"),
        ),
    ),
    Row(
        kr.matching.permute,
        "function",
        inputs=lambda: {"model": _dense(0), "matching": _ORDERS},
        outcome=_changed,
        knob={"matching": {"second": np.array([1, 0, 3, 2])}},
        reference=_moved,
        accepts_any=("name",),
        bad_arguments=(
            ({"model": "model"}, TypeError, "model"),
            ({"matching": {}}, ValueError, "matching"),
            ({"matching": {"first": np.arange(3)}}, ValueError, "matching"),
        ),
    ),
    Row(
        kr.matching.align_many,
        "function",
        inputs=lambda: dict(_shuffled()),
        arguments={"max_sweeps": 20, "seed": 3},
        outcome=lambda found: [order for each in found for order in _permutations(each)],
        knob=lambda: _shuffled(seed=2),
        reference=lambda: [np.arange(5), np.arange(4), *_unshuffled()],
        bad_arguments=(*_SEARCH, ({"models": "model"}, TypeError, "models")),
    ),
    Row(
        kr.matching.merge_many,
        "function",
        inputs=lambda: dict(_shuffled()),
        arguments={"max_sweeps": 20, "seed": 3},
        outcome=_changed,
        knob=lambda: _shuffled(seed=2),
        reference=_mean,
        accepts_any=("name",),
        bad_arguments=(*_SEARCH, ({"models": []}, ValueError, "models")),
    ),
    Row(
        kr.matching.interpolation_curve,
        "function",
        inputs=lambda: {
            **_pair(),
            "data": (_X, np.eye(2, dtype="float32")[_Y]),
            "matching": _ORDERS,
        },
        arguments={"points": 4, "loss": _LOSS, "batch_size": 9},
        outcome=lambda curve: curve.values,
        knob={"matching": None},
        reference=_curve,
        bad_arguments=(
            ({"points": 1}, ValueError, "points"),
            ({"loss": "no_such_loss"}, ValueError, "no_such_loss"),
            ({"matching": {"first": [0, 0, 1, 2, 3]}}, ValueError, "matching"),
            ({"batch_size": 0}, ValueError, "batch_size"),
        ),
    ),
    Row(
        kr.matching.alignment_report,
        "function",
        inputs=lambda: {**_pair(), "matching": _ORDERS},
        outcome=lambda report: list(report.alignment.values()),
        knob={"matching": None},
        reference=lambda model1, model2: references.alignment(
            _weights(model1),
            references.permuted(_weights(model2), [_ORDERS["first"], np.arange(4)]),
        ),
        bad_arguments=(_MODEL1, _MODEL2, ({"matching": {}}, ValueError, "matching")),
    ),
    Row(
        kr.plotting.plot_loss_barrier,
        "function",
        inputs=lambda: {"curves": {"before": _CURVE}},
        arguments={"label": "error"},
        outcome=lambda ax: np.concatenate([line.get_ydata() for line in ax.lines]),
        reference=lambda: np.array([0.2, 1.0, 0.4, 0.2, 0.4]),
        knob=lambda: {"curves": ModeConnectivity(np.linspace(0, 1, 2), np.array([0.1, 0.3]))},
        accepts_any=("label",),
        bad_arguments=(
            ({"curves": {}}, ValueError, "curves"),
            ({"curves": 3.0}, TypeError, "curves"),
            ({"ax": 3}, TypeError, "ax"),
        ),
    ),
]
