"""Callbacks: what changes during training."""

from __future__ import annotations

import tempfile

import numpy as np

import keras_reweight as kr
from keras_reweight.core.testing import Row, Task


def _with_sample_ids() -> Task:
    return Task(
        targets=lambda y: kr.data.pack_targets(y, sample_id=np.arange(12)),
        prepare=kr.data.enable_aux_targets,
    )


ROWS = [
    Row(
        kr.callbacks.Reweight,
        "callback",
        arguments={"weighting": kr.weightings.LinUpper(0.4), "warmup_steps": 2},
        knob={"warmup_steps": 3},
        bad_arguments=(
            ({"weighting": "lin_upper"}, TypeError, "weighting"),
            ({"warmup_steps": -1}, ValueError, "warmup_steps"),
            ({"granularity": "word"}, ValueError, "granularity"),
            ({"outputs": "missing"}, ValueError, "outputs"),
        ),
    ),
    Row(
        kr.callbacks.Reweight,
        "callback",
        name="Reweight_scheduled",
        arguments=lambda: {
            "weighting": kr.weightings.LinUpper(
                kr.schedules.PolynomialDecay(4.0, 0.2, end_step=6, power=1.0)
            )
        },
        knob={"weighting": kr.weightings.LinUpper(4.0)},
        bad_arguments=(({"on_nonfinite": "ignore"}, ValueError, "on_nonfinite"),),
    ),
    Row(
        kr.callbacks.EL2NReweight,
        "callback",
        arguments={
            "num_samples": 12,
            "drop_hardest": 0.25,
            "drop_easiest": 0.25,
            "warmup_epochs": 1,
            "from_logits": True,
        },
        inputs=_with_sample_ids,
        knob={"drop_hardest": 0.0},
        bad_arguments=(
            ({"num_samples": 0}, ValueError, "num_samples"),
            ({"drop_hardest": 1.5}, ValueError, "drop_hardest"),
            ({"warmup_epochs": -1}, ValueError, "warmup_epochs"),
            ({"from_logits": False}, ValueError, "from_logits"),
        ),
    ),
    Row(
        kr.callbacks.BackupState,
        "callback",
        arguments={
            "backup_dir": tempfile.gettempdir() + "/keras-reweight-contract",
            "save_freq": "epoch",
            "delete_checkpoint": True,
        },
        knob=None,
        accepts_any=("backup_dir",),
        bad_arguments=(
            ({"backup_dir": ""}, ValueError, "backup_dir"),
            ({"save_freq": "batch"}, ValueError, "save_freq"),
            ({"save_freq": 0}, ValueError, "save_freq"),
        ),
    ),
]
