"""Pruning: criteria, allocations, one-shot functions and callbacks."""

from __future__ import annotations

import gzip

import numpy as np
from keras import ops

import keras_compress as kc
import keras_reweight as kr
from keras_reweight.core.testing import Row, Task
from keras_reweight.core.testing.tasks import functional
from tests.compress.pruning import test_prune_magnitude
from tests.compress.pruning.allocations import test_global_allocation

_SCORES = [np.linspace(3.0, 1.0, 6).reshape(2, 3), np.linspace(0.1, 0.9, 10)]
_SPARSITY = (
    ({"sparsity": 1.0}, ValueError, "sparsity"),
    ({"sparsity": -0.1}, ValueError, "sparsity"),
    ({"sparsity": "half"}, TypeError, "sparsity"),
)
_MIN_KEEP = ({"min_keep": 1.0}, ValueError, "min_keep")
_PATTERN = ({"pattern": "2:4"}, TypeError, "pattern")
_LAYERS = ({"layers": "missing"}, ValueError, "layers")


def _kernels(_, model):
    return [v for v in model.weights if v.name == "kernel"]


def _pruned_kernels(model, sparsity):
    kernels = [ops.convert_to_numpy(v) for v in _kernels(None, model)]
    return test_prune_magnitude.reference_global(kernels, sparsity)


def _pruned_model():
    model = functional()
    kc.prune_magnitude(model, 0.5)
    return model


def _sizes(model):
    """Zeros, size and bytes as `sparsity_report` counts them."""
    arrays = [np.ascontiguousarray(ops.convert_to_numpy(v)) for v in model.weights]
    raw = b"".join(array.tobytes() for array in arrays)
    rows = [
        {
            "shape": list(array.shape),
            "zeros": int((array == 0).sum()),
            "size": array.size,
            "prunable": array.ndim == 2,
        }
        for array in arrays
    ]
    return {
        "variables": rows,
        "num_bytes": len(raw),
        "gzip_bytes": len(gzip.compress(raw, compresslevel=6, mtime=0)),
    }


_ALLOCATION = {
    "kind": "object",
    "arguments": {"min_keep": 0.0},
    "inputs": lambda: {"scores": _SCORES, "sparsity": 0.5},
    "outcome": lambda allocation, scores, sparsity: allocation(scores, sparsity),
    "bad_arguments": (_MIN_KEEP, ({"min_keep": "little"}, TypeError, "min_keep")),
}
_ONE_SHOT = {
    "kind": "function",
    "inputs": lambda: {"model": functional(), "sparsity": 0.6},
    "outcome": _kernels,
    "reference": _pruned_kernels,
    "mutates": True,
}
_GRADUAL = {
    "sparsity": kr.schedules.PolynomialDecay(0.2, 0.7, begin_step=0, end_step=5),
    "begin_step": 1,
    "frequency": 1,
}

ROWS = [
    Row(kc.pruning.Criterion, "base"),
    Row(
        kc.pruning.Magnitude,
        "object",
        inputs=lambda: {"weight": np.array([[-2.0, 0.5], [0.0, 1.0]], "float32")},
        outcome=lambda criterion, weight: criterion.score(weight),
        reference=lambda weight: np.abs(weight),
    ),
    Row(kc.pruning.Allocation, "base"),
    Row(kc.pruning.SparsityRule, "base"),
    Row(kc.pruning.Pattern, "base"),
    Row(
        kc.pruning.GlobalAllocation,
        knob={"min_keep": 0.25},
        reference=test_global_allocation.reference_counts,
        **_ALLOCATION,
    ),
    Row(
        kc.pruning.UniformAllocation,
        knob={"min_keep": 0.3},
        reference=lambda scores, sparsity: [round(sparsity * score.size) for score in scores],
        **_ALLOCATION,
    ),
    Row(
        kc.prune_magnitude,
        arguments={"scope": "global", "min_keep": 0.0},
        knob={"scope": "layer"},
        bad_arguments=(
            *_SPARSITY,
            _MIN_KEEP,
            _PATTERN,
            _LAYERS,
            ({"scope": "word"}, ValueError, "scope"),
        ),
        **_ONE_SHOT,
    ),
    Row(
        kc.pruning.prune_weights,
        arguments=lambda: {"allocation": kc.pruning.GlobalAllocation(min_keep=0.0)},
        knob=lambda: {"allocation": kc.pruning.UniformAllocation(min_keep=0.0)},
        bad_arguments=(
            *_SPARSITY,
            _PATTERN,
            _LAYERS,
            ({"criterion": "magnitude"}, TypeError, "criterion"),
            ({"allocation": "global"}, TypeError, "allocation"),
        ),
        **_ONE_SHOT,
    ),
    Row(
        kc.strip,
        "function",
        inputs=lambda: {"model": functional()},
        bad_arguments=(({"model": "model"}, TypeError, "model"),),
    ),
    Row(
        kc.sparsity_report,
        "function",
        inputs=lambda: {"model": _pruned_model()},
        knob=lambda: {"model": functional()},
        reference=_sizes,
        bad_arguments=(({"model": "model"}, TypeError, "model"),),
    ),
    Row(kc.pruning.PruningReport, "record"),
    Row(kc.pruning.SparsityReport, "record"),
    Row(
        kc.callbacks.MagnitudePruning,
        "callback",
        arguments={**_GRADUAL, "scope": "layer", "min_keep": 0.01},
        knob={"scope": "global"},
        bad_arguments=(
            *_SPARSITY,
            _MIN_KEEP,
            _PATTERN,
            _LAYERS,
            ({"scope": "word"}, ValueError, "scope"),
            ({"frequency": 0}, ValueError, "frequency"),
            ({"begin_step": -1}, ValueError, "begin_step"),
        ),
    ),
    Row(
        kc.callbacks.Pruning,
        "callback",
        arguments=lambda: {**_GRADUAL, "allocation": kc.pruning.UniformAllocation()},
        knob=lambda: {"allocation": kc.pruning.GlobalAllocation()},
        bad_arguments=(
            *_SPARSITY,
            _PATTERN,
            _LAYERS,
            ({"criterion": "magnitude"}, TypeError, "criterion"),
            ({"allocation": "global"}, TypeError, "allocation"),
            ({"frequency": 0}, ValueError, "frequency"),
        ),
    ),
    Row(
        kc.callbacks.KeepSparsity,
        "callback",
        arguments={"layers": "hidden"},
        inputs=lambda: Task(prepare=lambda model: kc.prune_magnitude(model, 0.5, scope="layer")),
        knob={"layers": "out"},
        bad_arguments=(_LAYERS,),
    ),
]
