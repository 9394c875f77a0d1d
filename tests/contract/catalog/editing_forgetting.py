"""Forgetting in weight space: importance, dampening, curvature, datamodels, and the attack."""

from __future__ import annotations

import functools

import keras
import numpy as np

import keras_reweight as kr
from keras_reweight.core.testing import Row
from keras_reweight.signatures.architecture import Architecture
from keras_reweight.signatures.live_weights import read_weights
from tests.reweight.editing import (
    networks,
    test_curvature_edit,
    test_datamodel_targets,
    test_fisher_importance,
    test_kfac_factors,
    test_kronecker_factors,
    test_match_outputs,
    test_membership_inference,
    test_selective_dampening,
)
from tests.reweight.signatures import models

_NO_MODEL = ({"model": "model"}, TypeError, "model")


def _data():
    return {"model": networks.shared().model, "data": networks.data()}


def _deltas(patch):
    return [patch.delta(index) for index in patch.indices]


def _importances(scale=1.0):
    arrays = {0: scale * np.arange(15.0).reshape(3, 5), 1: np.ones(5)}
    return {
        "architecture": Architecture.of(_dense()),
        "arrays": arrays,
        "kind": "sample",
        "batch_size": 4,
    }


@functools.cache
def _dense():
    """Edits leave their model alone, so that one serves all rows."""
    return models.dense()


def _forget_and_full():
    model = _dense()
    forget, full = test_selective_dampening.importances(model)
    return {"model": model, "forget": forget, "full": full}


def _factors(seed):
    made = test_kronecker_factors.make(seed)
    return {"architecture": made.architecture, "factors": made.factors}


def _changes(steps, batch_size, loss, seed, **_):
    return test_match_outputs.reference(steps, batch_size, loss, seed)


def _moments(factors):
    return list(factors.factors.values())


ROWS = [
    Row(
        kr.editing.WeightImportance,
        "object",
        arguments=_importances,
        outcome=lambda made: [made.value(index) for index in made.indices],
        knob=lambda: {"arrays": _importances(2.0)["arrays"]},
        reference=lambda arrays: [arrays[index] for index in sorted(arrays)],
        bad_arguments=(
            ({"arrays": {}}, ValueError, "arrays"),
            ({"kind": "hessian"}, ValueError, "kind"),
            ({"batch_size": 0}, ValueError, "batch_size"),
            ({"architecture": "dense"}, TypeError, "architecture"),
        ),
    ),
    Row(
        kr.editing.fisher_importance,
        "function",
        inputs=_data,
        arguments={"kind": "batch", "batch_size": 2},
        outcome=test_fisher_importance.values,
        knob={"kind": "sample"},
        reference=lambda kind, batch_size: test_fisher_importance.reference(kind, batch_size),
        bad_arguments=(
            _NO_MODEL,
            ({"kind": "hessian"}, ValueError, "kind"),
            ({"labels": "true"}, ValueError, "labels"),
            ({"batch_size": 0}, ValueError, "batch_size"),
            ({"seed": -1}, ValueError, "seed"),
            ({"variables": "missing"}, ValueError, "variables"),
        ),
    ),
    Row(
        kr.editing.selective_dampening,
        "function",
        inputs=_forget_and_full,
        arguments={"alpha": 1.5, "dampening": 0.7, "exponent": 0.5},
        outcome=_deltas,
        knob={"alpha": 4.0},
        reference=test_selective_dampening.reference,
        accepts_any=("name",),
        bad_arguments=(
            _NO_MODEL,
            ({"forget": 1.0}, TypeError, "forget"),
            ({"full": None}, TypeError, "full"),
            ({"alpha": 0.0}, ValueError, "alpha"),
            ({"dampening": -1.0}, ValueError, "dampening"),
            ({"exponent": 0.0}, ValueError, "exponent"),
            ({"layers": "missing"}, ValueError, "layers"),
        ),
    ),
    Row(
        kr.editing.KroneckerFactors,
        "object",
        arguments=lambda: _factors(0),
        outcome=test_kronecker_factors.spectra,
        knob=lambda: _factors(1),
        reference=test_kronecker_factors.reference_spectra,
        bad_arguments=(
            ({"factors": {}}, ValueError, "factors"),
            ({"factors": {0: (np.eye(3), np.eye(4))}}, ValueError, "factors"),
            ({"architecture": "dense"}, TypeError, "architecture"),
        ),
    ),
    Row(
        kr.editing.kfac_factors,
        "function",
        inputs=_data,
        arguments={"labels": "data", "batch_size": 2},
        outcome=_moments,
        knob={"labels": "sampled"},
        reference=lambda data: test_kfac_factors.reference(data[1]),
        bad_arguments=(
            _NO_MODEL,
            ({"labels": "true"}, ValueError, "labels"),
            ({"layers": "missing"}, ValueError, "layers"),
            ({"batch_size": 0}, ValueError, "batch_size"),
            ({"seed": -1}, ValueError, "seed"),
        ),
    ),
    Row(
        kr.editing.curvature_edit,
        "function",
        inputs=lambda: {"model": _dense(), "factors": test_kronecker_factors.make()},
        arguments={"keep": 0.7},
        outcome=_deltas,
        knob={"keep": 0.5},
        reference=lambda model, factors, keep: test_curvature_edit.reference(
            model, factors, keep, "pairs"
        ),
        accepts_any=("name",),
        bad_arguments=(
            _NO_MODEL,
            ({"factors": 1.0}, TypeError, "factors"),
            ({"keep": 0.0}, ValueError, "keep"),
            ({"keep": 1.1}, ValueError, "keep"),
            ({"select": "columns"}, ValueError, "select"),
            ({"layers": "missing"}, ValueError, "layers"),
        ),
    ),
    Row(
        kr.editing.datamodel_targets,
        "function",
        inputs=test_datamodel_targets.inputs,
        arguments={"ridge": 0.7},
        knob={"ridge": 5.0},
        reference=test_datamodel_targets.reference,
        bad_arguments=(
            ({"forget": np.array([9])}, ValueError, "forget"),
            ({"forget": 1.5}, TypeError, "forget"),
            ({"ridge": 0.0}, ValueError, "ridge"),
            ({"masks": "masks"}, TypeError, "masks"),
        ),
    ),
    Row(
        kr.editing.match_outputs,
        "function",
        inputs=test_match_outputs.inputs,
        arguments=lambda: {
            "steps": 3,
            "batch_size": 2,
            "optimizer": keras.optimizers.SGD(0.1),
            "loss": "kl",
            "seed": 1,
        },
        # The weights themselves: the small changes of float32 weights are rounded by more.
        outcome=lambda patch, model: [
            array + patch.delta(index) for index, array in read_weights(model).items()
        ],
        knob={"steps": 2},
        reference=lambda **options: [
            weight + change
            for weight, change in zip(networks.shared().weights, _changes(**options), strict=True)
        ],
        accepts_any=("name",),
        bad_arguments=(
            _NO_MODEL,
            ({"steps": 0}, ValueError, "steps"),
            ({"batch_size": 0}, ValueError, "batch_size"),
            ({"optimizer": "adam"}, TypeError, "optimizer"),
            ({"loss": "mae"}, ValueError, "loss"),
            ({"seed": -1}, ValueError, "seed"),
            ({"targets": "targets"}, TypeError, "targets"),
        ),
    ),
    Row(
        kr.editing.membership_inference,
        "function",
        inputs=test_membership_inference.signals,
        arguments={"penalty": 0.1},
        knob=lambda: {"target": test_membership_inference.signals(shift=3.0)["target"]},
        reference=test_membership_inference.reference,
        bad_arguments=(
            ({"penalty": 0.0}, ValueError, "penalty"),
            ({"members": "members"}, TypeError, "members"),
            ({"non_members": np.ones((3, 2))}, ValueError, "non_members"),
        ),
    ),
]
