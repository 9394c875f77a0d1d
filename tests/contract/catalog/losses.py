"""Losses: `keras.losses.Loss` subclasses."""

from __future__ import annotations

import keras_reweight as kr
from keras_reweight.core.testing import Row

ROWS = [
    Row(
        kr.losses.ReweightedLoss,
        "loss",
        arguments=lambda: {
            # Cross-entropy that takes one-hot labels too; Keras' own takes one form.
            "loss": kr.losses.CompSumLoss(),
            "weighting": kr.weightings.LinUpper(0.4),
        },
        knob={"weighting": kr.weightings.LinUpper(1.5)},
        reference="tests.reweight.losses.test_reweighted_loss:reference_losses",
        reference_gradient="tests.reweight.losses.test_reweighted_loss:reference_gradient",
        invariants=("nonnegative", "permutation_equivariant"),
        bad_arguments=(
            ({"weighting": "lin_upper"}, TypeError, "weighting"),
            ({"granularity": "word"}, ValueError, "granularity"),
            ({"loss": 3}, TypeError, "loss"),
        ),
    ),
]
