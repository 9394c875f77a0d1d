"""Data: sample ids and groups beside the targets, tables by sample id, scores of samples."""

from __future__ import annotations

import keras
import numpy as np

import keras_reweight as kr
from keras_reweight.core.testing import Row
from keras_reweight.core.testing.tasks import functional


def _compiled_model():
    model = functional()
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return {"model": model}


def _takes_packed_targets(result, model):
    """Loss of a batch whose targets are packed, or minus one where the model refuses it."""
    x, y = np.ones((4, 4), "float32"), np.arange(4) % 3
    try:
        return model.evaluate(x, kr.data.pack_targets(y, sample_id=np.arange(4)), verbose=0) > 0
    except (KeyError, TypeError, ValueError):
        return False


def _labels():
    return {"y_true": np.array([0, 2, 1, 1]), "y_pred": np.eye(4, 3, dtype="float32") - 0.3}


ROWS = [
    Row(
        kr.data.pack_targets,
        "function",
        inputs=lambda: {"y": np.arange(4) % 3},
        arguments={"sample_id": np.array([3, 1, 0, 2]), "group": np.array([0, 0, 1, 1])},
        knob={"group": np.array([1, 0, 1, 0])},
        reference=lambda y, sample_id, group: {
            "targets": y,
            "sample_id": sample_id,
            "group": group,
        },
        bad_arguments=(
            ({"sample_id": np.arange(5)}, ValueError, "sample_id"),
            ({"sample_id": np.array([0, 1, 2, -3])}, ValueError, "sample_id"),
            ({"group": np.zeros(4)}, TypeError, "group"),
        ),
    ),
    Row(
        kr.data.enable_aux_targets,
        "function",
        inputs=_compiled_model,
        outcome=_takes_packed_targets,
        reference=lambda: True,
        mutates=True,
        bad_arguments=(({"model": "model"}, TypeError, "model"),),
    ),
    Row(
        kr.data.disable_aux_targets,
        "function",
        inputs=_compiled_model,
        outcome=_takes_packed_targets,
        reference=lambda: False,
        mutates=True,
        bad_arguments=(({"model": "model"}, TypeError, "model"),),
    ),
    Row(
        kr.data.SampleTable,
        "object",
        arguments={"num_samples": 4, "columns": {"weight": 1.0, "loss": np.zeros(4, "float32")}},
        inputs=lambda: {"sample_id": np.array([3, 1]), "values": np.array([0.5, 2.0], "float32")},
        outcome=lambda table, sample_id, values: (
            table.update(sample_id, loss=values),
            {name: table[name] for name in table.columns},
        ),
        reference=lambda: (None, {"weight": np.ones(4), "loss": np.array([0.0, 2.0, 0.0, 0.5])}),
        knob={"columns": {"weight": 0.5, "loss": np.zeros(4, "float32")}},
        bad_arguments=(
            ({"num_samples": 0}, ValueError, "num_samples"),
            ({"columns": {"weight": np.zeros(3)}}, ValueError, "weight"),
        ),
    ),
    Row(
        kr.scores.el2n,
        "function",
        inputs=_labels,
        arguments={"from_logits": True},
        knob={"from_logits": False},
        reference="tests.reweight.scores.test_el2n:reference",
        gradient_of="y_pred",
        jit=True,
        invariants=("nonnegative", "permutation_equivariant"),
        bad_arguments=(({"y_pred": np.zeros(3, "float32")}, ValueError, "y_pred"),),
    ),
]
