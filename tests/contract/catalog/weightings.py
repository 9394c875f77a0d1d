"""Weightings: from the losses of a batch to weights."""

from __future__ import annotations

import keras_reweight as kr
from keras_reweight.core.testing import Row

# What the three loss-range weightings share.
_BOUNDED = {
    "kind": "weighting",
    "arguments": {"temperature": 0.4, "delta": 0.7},
    "knob": {"temperature": 1.5},
    "schedulable": ("temperature",),
    "bad_arguments": (
        ({"temperature": 0.0}, ValueError, "temperature"),
        ({"temperature": "hot"}, TypeError, "temperature"),
        ({"delta": -1.0}, ValueError, "delta"),
    ),
}

ROWS = [
    Row(kr.weightings.Weighting, "base"),
    Row(
        kr.weightings.Extremes,
        reference="tests.reweight.weightings.test_extremes:reference",
        **_BOUNDED,
    ),
    Row(
        kr.weightings.LinUpper,
        reference="tests.reweight.weightings.test_lin_upper:reference",
        **_BOUNDED,
    ),
    Row(
        kr.weightings.Quadratic,
        reference="tests.reweight.weightings.test_quadratic:reference",
        **_BOUNDED,
    ),
]
