"""Unlearning with LoRA."""

from __future__ import annotations

import numpy as np

import keras_reweight as kr
from keras_reweight.core.testing import Row
from tests.reweight.editing import (
    lora_models,
    test_importance_lora_init,
    test_lora_importance,
    test_lora_patch,
    test_reglu_lora,
)

_LAYERS = ({"layers": "missing"}, ValueError, "layers")
_NO_MODEL = ({"model": "model"}, TypeError, "model")
_NUMBERS = (({"rank": 0}, ValueError, "rank"), ({"batch_size": 0}, ValueError, "batch_size"))


def _update(layer):
    """What LoRA adds to the kernel; the factors themselves have signs of their own."""
    a, b = (np.asarray(v, "float64") for v in (layer.lora_kernel_a, layer.lora_kernel_b))
    return layer.lora_alpha / layer.lora_rank * a @ b


def _updates(found, model):
    return {layer.name: _update(layer) for layer in model.layers}


def _split_reference(forget, retain, rank, alpha, epsilon):
    kernel = np.asarray(test_importance_lora_init.fresh().kernel, "float64")
    rho, update, _ = test_importance_lora_init.reference(
        kernel, forget, retain, rank, alpha, epsilon
    )
    return rho, update


def _vila_reference(model, forget, retain, rank, alpha, importance, batch_size):
    found = [
        test_lora_importance.reference(model, data, importance, rank, batch_size)
        for data in (forget, retain)
    ]
    updates = {}
    for layer, kernel in zip(model.layers, lora_models.kernels(model), strict=True):
        ours, theirs = (each[layer.name] for each in found)
        _, updates[layer.name], _ = test_importance_lora_init.reference(
            kernel, ours, theirs, rank, alpha, 1e-5
        )
    return updates


def _reglu_reference(model, forget, retain, rank, alpha, beta):
    projections = test_reglu_lora.reference(model, forget, retain, rank, beta)
    return {
        layer.name: alpha / rank * kernel @ projection
        for layer, kernel, projection in zip(
            model.layers, lora_models.kernels(model), projections, strict=True
        )
    }


def _trained():
    model, before = test_lora_patch.trained()
    return {"model": model, "before": before}


ROWS = [
    Row(
        kr.editing.lora_importance,
        "function",
        inputs=lambda: {"model": lora_models.kept(), "data": lora_models.samples()},
        arguments={"kind": "fila", "batch_size": 4},
        knob={"kind": "vila"},
        reference=test_lora_importance.reference,
        bad_arguments=(
            _NO_MODEL,
            _LAYERS,
            *_NUMBERS,
            ({"kind": "random"}, ValueError, "kind"),
            ({"seed": -1}, ValueError, "seed"),
        ),
    ),
    Row(
        kr.editing.importance_lora_init,
        "function",
        inputs=lambda: {
            "layer": test_importance_lora_init.fresh(),
            **dict(zip(("forget", "retain"), test_importance_lora_init.importances(), strict=True)),
        },
        arguments={"rank": 2, "alpha": 6.0, "epsilon": 0.1},
        outcome=lambda rho, layer: (rho, _update(layer)),
        knob={"epsilon": 10.0},
        reference=_split_reference,
        mutates=True,
        bad_arguments=(
            ({"rank": 9}, ValueError, "rank"),
            ({"alpha": 0.0}, ValueError, "alpha"),
            ({"epsilon": 0.0}, ValueError, "epsilon"),
            ({"layer": "dense"}, TypeError, "layer"),
        ),
    ),
    Row(
        kr.editing.vila_lora,
        "function",
        inputs=lambda: {
            "model": lora_models.linear(),
            "forget": lora_models.samples(1),
            "retain": lora_models.samples(2),
        },
        arguments={"rank": 1, "alpha": 3.0, "importance": "fila", "batch_size": 4},
        outcome=_updates,
        knob={"importance": "vila"},
        reference=_vila_reference,
        mutates=True,
        bad_arguments=(
            _NO_MODEL,
            _LAYERS,
            *_NUMBERS,
            ({"alpha": -1.0}, ValueError, "alpha"),
            ({"importance": "random"}, ValueError, "importance"),
        ),
    ),
    Row(
        kr.editing.reglu_lora,
        "function",
        inputs=lambda: {
            "model": lora_models.linear(),
            "forget": lora_models.samples(1)[0],
            "retain": lora_models.samples(2)[0],
        },
        arguments={"rank": 1, "alpha": 3.0, "beta": 0.6, "penalty": 0.1, "penalty_rank": 2},
        outcome=_updates,
        knob={"beta": 0.1},
        reference=_reglu_reference,
        mutates=True,
        bad_arguments=(
            _NO_MODEL,
            _LAYERS,
            *_NUMBERS,
            ({"beta": 2.0}, ValueError, "beta"),
            ({"penalty": -1.0}, ValueError, "penalty"),
            ({"penalty_rank": 0}, ValueError, "penalty_rank"),
        ),
    ),
    Row(
        kr.editing.lora_patch,
        "function",
        inputs=_trained,
        arguments={"name": "forget"},
        outcome=lambda patch: {path: patch.delta(path) for path in patch.paths},
        knob=lambda: {"before": kr.WeightSnapshot(lora_models.classifier(seed=1))},
        reference=test_lora_patch.reference,
        accepts_any=("name",),
        bad_arguments=(_NO_MODEL, ({"before": "before"}, TypeError, "before")),
    ),
]
