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
    Row(
        kr.weightings.Upper,
        reference="tests.reweight.weightings.test_upper:reference",
        **_BOUNDED,
    ),
    Row(
        kr.weightings.KLDRO,
        "weighting",
        arguments={"temperature": 0.4},
        knob={"temperature": 1.5},
        reference="tests.reweight.weightings.test_kl_dro:reference",
        schedulable=("temperature",),
        bad_arguments=(
            ({"temperature": 0.0}, ValueError, "temperature"),
            ({"temperature": "hot"}, TypeError, "temperature"),
        ),
    ),
    Row(
        kr.weightings.CVaR,
        "weighting",
        arguments={"alpha": 0.3},
        knob={"alpha": 0.7},
        reference="tests.reweight.weightings.test_cvar:reference",
        schedulable=("alpha",),
        bad_arguments=(
            ({"alpha": 0.0}, ValueError, "alpha"),
            ({"alpha": 1.5}, ValueError, "alpha"),
            ({"alpha": "half"}, TypeError, "alpha"),
        ),
    ),
    Row(
        kr.weightings.ChiSquareDRO,
        "weighting",
        arguments={"radius": 0.3},
        knob={"radius": 1.1},
        reference="tests.reweight.weightings.test_chi_square_dro:reference",
        schedulable=("radius",),
        bad_arguments=(
            ({"radius": -0.1}, ValueError, "radius"),
            ({"radius": "small"}, TypeError, "radius"),
        ),
    ),
    Row(
        kr.weightings.Clipped,
        "weighting",
        arguments=lambda: {
            "weighting": kr.weightings.KLDRO(0.5),
            "minimum": 0.1,
            "maximum": 1.5,
        },
        knob={"maximum": 1.2},
        reference="tests.reweight.weightings.test_clipped:reference",
        bad_arguments=(
            ({"weighting": "kl_dro"}, TypeError, "weighting"),
            ({"minimum": -1.0}, ValueError, "minimum"),
            ({"maximum": 0.05}, ValueError, "maximum"),
        ),
    ),
    Row(
        kr.weightings.WarmUp,
        "weighting",
        arguments=lambda: {"weighting": kr.weightings.LinUpper(0.4), "steps": 1},
        knob={"steps": 2},
        reference="tests.reweight.weightings.test_warm_up:reference",
        bad_arguments=(
            ({"weighting": "lin_upper"}, TypeError, "weighting"),
            ({"steps": 0}, ValueError, "steps"),
            ({"steps": 1.5}, TypeError, "steps"),
        ),
    ),
    Row(
        kr.weightings.Mixed,
        "weighting",
        arguments=lambda: {"weighting": kr.weightings.LinUpper(0.4), "mix": 0.25},
        knob={"mix": 0.75},
        reference="tests.reweight.weightings.test_mixed:reference",
        schedulable=("mix",),
        bad_arguments=(
            ({"weighting": "lin_upper"}, TypeError, "weighting"),
            ({"mix": 1.5}, ValueError, "mix"),
            ({"mix": "half"}, TypeError, "mix"),
        ),
    ),
    Row(
        kr.weightings.Truncated,
        "weighting",
        arguments={"drop_highest": 0.25, "drop_lowest": 0.1},
        knob={"drop_highest": 0.5, "drop_lowest": 0.4},
        reference="tests.reweight.weightings.test_truncated:reference",
        schedulable=("drop_highest", "drop_lowest"),
        bad_arguments=(
            ({"weighting": "lin_upper"}, TypeError, "weighting"),
            ({"drop_highest": 1.0}, ValueError, "drop_highest"),
            ({"drop_lowest": 0.8}, ValueError, "drop_lowest"),
            ({"drop_lowest": "few"}, TypeError, "drop_lowest"),
        ),
    ),
    Row(
        kr.weightings.Truncated,
        "weighting",
        name="Truncated_inside",
        arguments=lambda: {"weighting": kr.weightings.LinUpper(0.4), "drop_highest": 0.25},
        knob={"drop_highest": 0.0},
        reference="tests.reweight.weightings.test_truncated:reference_inside",
        bad_arguments=(({"drop_highest": -0.1}, ValueError, "drop_highest"),),
    ),
    Row(
        kr.weightings.Product,
        "weighting",
        arguments=lambda: {
            "weightings": [kr.weightings.LinUpper(0.4), kr.weightings.Energy()],
            "normalization": "sum_one",
        },
        knob={"normalization": None},
        reference="tests.reweight.weightings.test_product:reference",
        bad_arguments=(
            ({"weightings": []}, ValueError, "weightings"),
            ({"weightings": ["energy"]}, TypeError, "weightings"),
            ({"normalization": "max_one"}, ValueError, "normalization"),
        ),
    ),
    Row(
        kr.weightings.Energy,
        "weighting",
        arguments={"normalization": "mean_one"},
        knob={"normalization": None},
        reference="tests.reweight.weightings.test_energy:reference",
        gradient_of="y_pred",
        signal="y_pred",
        bad_arguments=(({"normalization": "max_one"}, ValueError, "normalization"),),
    ),
    Row(
        kr.weightings.ProbabilityMargin,
        "weighting",
        arguments={
            "bias": -0.2,
            "slope": 4.0,
            "scale": 2.0,
            "from_logits": True,
            "normalization": None,
        },
        knob={"bias": 0.3},
        reference="tests.reweight.weightings.test_probability_margin:reference",
        gradient_of="y_pred",
        signal="y_pred",
        bad_arguments=(
            ({"slope": 0.0}, ValueError, "slope"),
            ({"scale": -1.0}, ValueError, "scale"),
            ({"bias": "low"}, TypeError, "bias"),
            ({"from_logits": 1}, TypeError, "from_logits"),
            ({"normalization": "max_one"}, ValueError, "normalization"),
        ),
    ),
]
