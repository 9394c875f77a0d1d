"""Allocations, patterns, automatic amounts and the measures behind them."""

from __future__ import annotations

import keras
import numpy as np

import keras_compress as kc
from keras_reweight.core.testing import Row
from keras_reweight.core.testing.tasks import functional
from tests.compress.pruning import (
    models,
    test_gini_index,
    test_layer_alphas,
    test_plan_sparsities,
    test_pq_index,
    test_sap,
)
from tests.compress.pruning.allocations import (
    test_erk_allocation,
    test_lamp_allocation,
    test_rate_distortion_allocation,
    test_uniform_plus_allocation,
)
from tests.compress.pruning.patterns import test_block_pattern, test_nm_pattern, test_tied_gates
from tests.core import test_hill_alpha

_RNG = np.random.default_rng(0)
_SCORES = [np.abs(_RNG.normal(size=shape)) for shape in ((2, 3, 4), (5, 8), (6, 3))]
_MATRIX = np.abs(_RNG.normal(size=(8, 6)))
_MIN_KEEP = ({"min_keep": 1.0}, ValueError, "min_keep")
_LAYERS = ({"layers": "missing"}, ValueError, "layers")


def _of_model(allocation, model):
    """Zeros of each variable, and the model is left as it was."""
    shares = kc.pruning.plan_sparsities(model, 0.5, allocation=allocation)
    return list(shares.values())


def _network():
    """Two kernels of 60 and 10 weights, half of the latter without effect."""
    model, rng = models.sequential(), np.random.default_rng(0)
    weights = [0.5 * rng.normal(size=weight.shape) for weight in model.get_weights()]
    weights[2][:5] *= 1e-3
    model.set_weights(weights)
    return model


def _chosen_levels(model):
    best = test_rate_distortion_allocation.reference(model, 0.5, "mean")
    wanted = np.array(best) * 35 / sum(best)
    counts = test_erk_allocation.largest_remainder(wanted, 35)
    return [counts[0] / 60, counts[1] / 10]


def _alpha_shares(model, epsilon):
    alphas = np.array(list(test_layer_alphas.reference(model, 4, 3).values()))
    ratios = 1 + epsilon * (2 * (alphas - alphas.min()) / np.ptp(alphas) - 1)
    sizes = np.array([layer.kernel.shape[0] * layer.kernel.shape[1] for layer in model.layers[1:]])
    total = round(0.5 * sizes.sum())
    wanted = ratios * sizes * total / (ratios * sizes).sum()
    return list(test_erk_allocation.largest_remainder(wanted, total) / sizes)


_BY_SHAPE = {
    "kind": "object",
    "inputs": lambda: {"scores": _SCORES, "sparsity": 0.5},
    "outcome": lambda allocation, scores, sparsity: allocation(scores, sparsity),
}
_BY_MODEL = {
    "kind": "object",
    "outcome": _of_model,
}
_UNITS = {
    "kind": "object",
    "inputs": lambda: {"score": _MATRIX},
    "outcome": lambda pattern, score: pattern.units(score),
}


def _recurrent_units(pattern, score):
    layer = keras.layers.GRU(2)
    layer.build((None, 3, 8))
    return pattern.for_variable(layer.cell.kernel, layer.cell).units(score)


ROWS = [
    Row(
        kc.pruning.ERKAllocation,
        arguments={"min_keep": 0.0},
        knob={"min_keep": 0.16},
        reference=test_erk_allocation.reference_counts,
        bad_arguments=(_MIN_KEEP, ({"min_keep": "little"}, TypeError, "min_keep")),
        **_BY_SHAPE,
    ),
    Row(
        kc.pruning.LAMPAllocation,
        arguments={"min_keep": 0.0},
        knob={"min_keep": 0.16},
        reference=test_lamp_allocation.reference_counts,
        bad_arguments=(_MIN_KEEP, ({"min_keep": "little"}, TypeError, "min_keep")),
        **_BY_SHAPE,
    ),
    Row(
        kc.pruning.UniformPlusAllocation,
        arguments={"min_keep": 0.0, "last_keep": 0.7},
        knob={"last_keep": 0.4},
        reference=test_uniform_plus_allocation.reference,
        bad_arguments=(
            _MIN_KEEP,
            ({"last_keep": 1.5}, ValueError, "last_keep"),
            ({"last_keep": "most"}, TypeError, "last_keep"),
        ),
        **_BY_SHAPE,
    ),
    Row(
        kc.pruning.PlanAllocation,
        arguments={"sparsities": {"hidden/kernel": 0.6, "out/kernel": 0.2}},
        knob={"sparsities": {"hidden/kernel": 0.6}},
        inputs=lambda: {"model": functional()},
        outcome=lambda allocation, model: list(
            kc.pruning.plan_sparsities(
                model, allocation.total(model), allocation=allocation
            ).values()
        ),
        reference=lambda model, sparsities: [
            round(share * np.size(layer.get_weights()[0])) / np.size(layer.get_weights()[0])
            for share, layer in zip(sparsities.values(), model.layers[1:], strict=True)
        ],
        kind="object",
        bad_arguments=(
            ({"sparsities": {"missing": 0.5}}, ValueError, "sparsities"),
            ({"sparsities": {"hidden/kernel": 1.5}}, ValueError, "sparsities"),
            ({"sparsities": [0.5]}, TypeError, "sparsities"),
        ),
    ),
    Row(
        kc.pruning.RateDistortionAllocation,
        arguments=lambda: {
            "data": models.X,
            "levels": 4,
            "reduce": "mean",
            "batch_size": 10,
            "min_keep": 0.0,
        },  # fmt: skip
        knob={"min_keep": 0.12},
        inputs=lambda: {"model": _network()},
        reference=_chosen_levels,
        bad_arguments=(
            _MIN_KEEP,
            ({"levels": 0}, ValueError, "levels"),
            ({"levels": 2.5}, TypeError, "levels"),
            ({"reduce": "sum"}, ValueError, "reduce"),
            ({"cost": "time"}, ValueError, "cost"),
            ({"batch_size": 0}, ValueError, "batch_size"),
            ({"data": "data"}, TypeError, "data"),
        ),
        **_BY_MODEL,
    ),
    Row(
        kc.pruning.AlphaAllocation,
        arguments={
            "epsilon": 0.4,
            "rows": 4,
            "num_windows": 3,
            "min_eigenvalues": 2,
            "min_keep": 0.0,
        },
        knob={"epsilon": 0.1},
        inputs=lambda: {"model": functional()},
        reference=_alpha_shares,
        bad_arguments=(
            _MIN_KEEP,
            ({"epsilon": 1.0}, ValueError, "epsilon"),
            ({"method": "mean"}, ValueError, "method"),
            ({"blocks": "hidden"}, TypeError, "blocks"),
            ({"blocks": ["missing"]}, ValueError, "blocks"),
            ({"rows": 1}, ValueError, "rows"),
            ({"num_windows": 1}, ValueError, "num_windows"),
            ({"min_eigenvalues": -1}, ValueError, "min_eigenvalues"),
        ),
        **_BY_MODEL,
    ),
    Row(
        kc.pruning.plan_sparsities,
        "function",
        arguments=lambda: {"allocation": kc.pruning.GlobalAllocation(min_keep=0.0)},
        knob=lambda: {"allocation": kc.pruning.UniformAllocation(min_keep=0.0)},
        inputs=lambda: {"model": functional(), "sparsity": 0.6},
        reference=test_plan_sparsities.reference,
        bad_arguments=(
            ({"sparsity": 1.0}, ValueError, "sparsity"),
            ({"allocation": "global"}, TypeError, "allocation"),
            ({"criterion": "magnitude"}, TypeError, "criterion"),
            ({"pattern": (2, 4)}, TypeError, "pattern"),
            _LAYERS,
        ),
    ),
    Row(
        kc.pruning.NMPattern,
        arguments={"n": 1, "m": 3},
        knob={"n": 2},
        reference=lambda score, n, m: np.where(
            test_nm_pattern.reference_mask(score, n, m), np.inf, score
        ),
        bad_arguments=(
            ({"n": 0}, ValueError, "n"),
            ({"m": 1}, ValueError, "m"),
            ({"n": 1.5}, TypeError, "n"),
            ({"axis": "in"}, TypeError, "axis"),
        ),
        **_UNITS,
    ),
    Row(
        kc.pruning.BlockPattern,
        arguments={"block_shape": (3, 2), "pooling": "max"},
        knob={"pooling": "mean"},
        reference=test_block_pattern.reference,
        bad_arguments=(
            ({"block_shape": 4}, TypeError, "block_shape"),
            ({"block_shape": (4, 0)}, ValueError, "block_shape"),
            ({"pooling": "sum"}, ValueError, "pooling"),
        ),
        **_UNITS,
    ),
    Row(
        kc.pruning.TiedGates,
        "object",
        inputs=lambda: {"score": _MATRIX},
        outcome=_recurrent_units,
        reference=lambda score: test_tied_gates.reference(score, 3),
    ),
    Row(
        kc.pruning.SAP,
        "object",
        arguments={"p": 0.4, "q": 1.5, "eta": 0.1, "gamma": 1.1, "beta": 0.7, "scope": "layer"},
        knob={"eta": 0.5},
        inputs=lambda: {"values": _SCORES, "masks": [score > 0.2 for score in _SCORES]},
        outcome=lambda rule, values, masks: rule.targets(values, masks),
        reference=test_sap.reference,
        bad_arguments=(
            ({"p": 0.0}, ValueError, "p"),
            ({"q": 0.3}, ValueError, "q"),
            ({"eta": -1.0}, ValueError, "eta"),
            ({"gamma": 0.0}, ValueError, "gamma"),
            ({"beta": 1.0}, ValueError, "beta"),
            ({"scope": "word"}, ValueError, "scope"),
            ({"p": "half"}, TypeError, "p"),
        ),
    ),
    Row(
        kc.pruning.pq_index,
        "function",
        arguments={"p": 0.4, "q": 1.5},
        knob={"p": 0.5},
        inputs=lambda: {"weights": _MATRIX, "mask": _MATRIX > 0.2, "axis": 0},
        reference=test_pq_index.reference,
        bad_arguments=(
            ({"p": 0.0}, ValueError, "p"),
            ({"q": 0.3}, ValueError, "q"),
            ({"q": "two"}, TypeError, "q"),
            ({"mask": np.ones(3, "bool")}, ValueError, "mask"),
        ),
    ),
    Row(
        kc.pruning.gini_index,
        "function",
        inputs=lambda: {"weights": _MATRIX, "mask": _MATRIX > 0.2, "axis": 0},
        knob={"axis": 1},
        reference=test_gini_index.reference,
        bad_arguments=(({"mask": np.ones(3, "bool")}, ValueError, "mask"),),
    ),
    Row(
        kc.pruning.hill_alpha,
        "function",
        inputs=lambda: {"eigenvalues": np.sort(_MATRIX.reshape(-1))[::-1]},
        knob={"xmin": "best"},
        reference=test_hill_alpha.reference,
        bad_arguments=(
            ({"xmin": "mean"}, ValueError, "xmin"),
            ({"eigenvalues": -_MATRIX[0]}, ValueError, "eigenvalues"),
        ),
    ),
    Row(
        kc.pruning.layer_alphas,
        "function",
        arguments={"rows": 4, "num_windows": 3},
        knob={"method": "hill"},
        inputs=lambda: {"model": functional()},
        reference=lambda model: test_layer_alphas.reference(model, 4, 3),
        bad_arguments=(
            ({"model": "model"}, TypeError, "model"),
            ({"method": "mean"}, ValueError, "method"),
            ({"rows": 1}, ValueError, "rows"),
            ({"num_windows": 1}, ValueError, "num_windows"),
            ({"xmin": "mean"}, ValueError, "xmin"),
            _LAYERS,
        ),
    ),
]
