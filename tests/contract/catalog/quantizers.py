"""Quantizers, for weights and activations."""

from __future__ import annotations

import numpy as np

import keras_compress as kc
from keras_reweight.core.testing import Row
from tests.compress.quantization.common import KERNEL
from tests.compress.quantizers import (
    test_binary,
    test_codebook,
    test_float_quantizer,
    test_lsq,
    test_lsq_plus,
    test_min_max,
    test_moving_average,
    test_power,
    test_stats,
    test_ternary,
)

_BITS = ({"bits": 0}, ValueError, "bits"), ({"bits": 4.0}, TypeError, "bits")
_GROUPS = (({"group_size": 0}, ValueError, "group_size"),)
_RANGES = (*_BITS, *_GROUPS, ({"symmetric": 1.0}, TypeError, "symmetric"))


def _stats(bits, inputs):
    return test_stats.reference(inputs, bits, (0,))


def _lsq(bits, signed, inputs, weights):
    return test_lsq.reference(inputs, np.abs(weights[0]), bits, signed)


def _lsq_gradient(bits, signed, inputs, weights, cotangent):
    scale = np.abs(weights[0])
    return test_lsq.reference_gradients(inputs, scale, cotangent, (0,), bits, signed)[0]


def _one(cotangent):
    return cotangent


_OF_A_KERNEL = {"kind": "quantizer", "inputs": lambda: {"inputs": KERNEL}}
_FIXED_RANGE = {
    "reference": test_moving_average.reference,
    "reference_gradient": test_moving_average.reference_gradient,
} | _OF_A_KERNEL

ROWS = [
    Row(kc.quantizers.Quantizer, "base"),
    Row(
        kc.quantizers.LSQQuantizer,
        arguments={"bits": 3, "axis": -1, "signed": True},
        knob={"bits": 5},
        reference=_lsq,
        reference_gradient=_lsq_gradient,
        bad_arguments=(*_BITS, *_GROUPS, ({"signed": 1}, TypeError, "signed")),
        **_OF_A_KERNEL,
    ),
    Row(
        kc.quantizers.LSQPlusQuantizer,
        # The search starts inside of the extremes, so that no value lies on a bound.
        arguments={"bits": 2, "axis": None},
        knob={"bits": 5},
        reference=test_lsq_plus.reference,
        reference_gradient=test_lsq_plus.reference_gradient,
        bad_arguments=(*_BITS, *_GROUPS),
        **_OF_A_KERNEL,
    ),
    Row(
        kc.quantizers.StatsQuantizer,
        arguments={"bits": 3, "axis": -1},
        knob={"bits": 5},
        reference=_stats,
        reference_gradient=_one,
        bad_arguments=(*_BITS, *_GROUPS),
        **_OF_A_KERNEL,
    ),
    Row(
        kc.quantizers.MinMaxQuantizer,
        arguments={"bits": 3, "axis": -1, "symmetric": False},
        knob={"symmetric": True},
        reference=test_min_max.reference,
        reference_gradient=test_min_max.reference_gradient,
        bad_arguments=_RANGES,
        **_OF_A_KERNEL,
    ),
    Row(
        kc.quantizers.MovingAverageQuantizer,
        arguments={"bits": 3, "axis": -1, "symmetric": True, "momentum": 0.9},
        knob={"symmetric": False},
        bad_arguments=(*_RANGES, ({"momentum": 1.0}, ValueError, "momentum")),
        **_FIXED_RANGE,
    ),
    Row(
        kc.quantizers.PercentileQuantizer,
        arguments={"bits": 3, "axis": -1, "symmetric": False, "percentile": 80.0},
        knob={"percentile": 95.0},
        bad_arguments=(*_RANGES, ({"percentile": 50.0}, ValueError, "percentile")),
        **_FIXED_RANGE,
    ),
    Row(
        kc.quantizers.MSEQuantizer,
        arguments={"bits": 2, "symmetric": False, "norm": 2.4, "num_candidates": 11},
        knob={"bits": 3},
        bad_arguments=(
            *_RANGES,
            ({"norm": 0.0}, ValueError, "norm"),
            ({"num_candidates": 1}, ValueError, "num_candidates"),
        ),
        **_FIXED_RANGE,
    ),
    Row(
        kc.quantizers.BinaryQuantizer,
        arguments={"axis": -1, "limit": 2.0},
        knob={"axis": None},
        reference=test_binary.reference_binary,
        reference_gradient=test_binary.reference_gradient,
        bad_arguments=(*_GROUPS, ({"limit": 0.0}, ValueError, "limit")),
        **_OF_A_KERNEL,
    ),
    Row(
        kc.quantizers.BooleanQuantizer,
        reference=test_binary.reference_boolean,
        reference_gradient=lambda inputs, cotangent: test_binary.reference_gradient(
            inputs, 1.0, cotangent
        ),
        bad_arguments=(({"limit": -1.0}, ValueError, "limit"),),
        **_OF_A_KERNEL,
    ),
    Row(
        kc.quantizers.TernaryQuantizer,
        arguments={"threshold": 0.6, "axis": -1},
        knob={"threshold": 1.2},
        reference=test_ternary.reference,
        reference_gradient=_one,
        bad_arguments=(*_GROUPS, ({"threshold": -0.1}, ValueError, "threshold")),
        **_OF_A_KERNEL,
    ),
    Row(
        kc.quantizers.FloatQuantizer,
        arguments={"format": "e2m1", "axis": -1},
        knob={"format": "e4m3"},
        reference=test_float_quantizer.reference,
        reference_gradient=_one,
        bad_arguments=(
            ({"format": "e3m4"}, ValueError, "format"),
            ({"scaled": 1.0}, TypeError, "scaled"),
            ({"group_size": 0}, ValueError, "group_size"),
        ),
        **_OF_A_KERNEL,
    ),
    Row(
        kc.quantizers.PowerQuantizer,
        arguments={"bits": 3, "axis": -1, "exponent": "learn"},
        knob={"bits": 5},
        reference=test_power.reference,
        reference_gradient=_one,
        bad_arguments=(
            ({"bits": 1}, ValueError, "bits"),
            ({"exponent": 3.0}, ValueError, "exponent"),
            ({"exponent": "find"}, ValueError, "exponent"),
        ),
        **_OF_A_KERNEL,
    ),
    Row(
        kc.quantizers.CodebookQuantizer,
        arguments={"bits": 2, "axis": -1, "initialization": "linear"},
        knob={"bits": 1},
        reference=test_codebook.reference,
        reference_gradient=_one,
        bad_arguments=(
            *_BITS,
            ({"num_clusters": 1}, ValueError, "num_clusters"),
            ({"initialization": "zeros"}, ValueError, "initialization"),
            ({"gradient": "max"}, ValueError, "gradient"),
        ),
        **_OF_A_KERNEL,
    ),
]
