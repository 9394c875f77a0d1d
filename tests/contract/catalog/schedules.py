"""Schedules: values that vary over training steps."""

from __future__ import annotations

import keras_compress as kc
import keras_reweight as kr
from keras_reweight.core.testing import Row

ROWS = [
    Row(kr.schedules.Schedule, "base"),
    Row(
        kr.schedules.Constant,
        "schedule",
        arguments={"value": 0.5},
        knob={"value": 0.7},
        reference=lambda value: value,
        bad_arguments=(({"value": float("inf")}, ValueError, "value"),),
    ),
    Row(
        kr.schedules.PolynomialDecay,
        "schedule",
        arguments={
            "initial_value": 0.1,
            "final_value": 0.9,
            "begin_step": 2,
            "end_step": 10,
            "power": 2.0,
        },
        knob={"power": 3.0},
        reference="tests.core.test_schedules:reference",
        bad_arguments=(
            ({"end_step": 2}, ValueError, "end_step"),
            ({"begin_step": -1}, ValueError, "begin_step"),
            ({"begin_step": 1.5}, TypeError, "begin_step"),
            ({"power": 0.0}, ValueError, "power"),
        ),
    ),
    Row(
        kr.schedules.Triangular,
        "schedule",
        arguments={
            "initial_value": 0.25,
            "peak_value": 1.5,
            "begin_step": 2,
            "peak_step": 5,
            "end_step": 12,
        },
        knob={"peak_value": 1.0},
        reference="tests.core.test_triangular:reference",
        bad_arguments=(
            ({"begin_step": -1}, ValueError, "begin_step"),
            ({"peak_step": 2}, ValueError, "peak_step"),
            ({"end_step": 5}, ValueError, "end_step"),
            ({"end_step": 12.5}, TypeError, "end_step"),
            ({"peak_value": float("nan")}, ValueError, "peak_value"),
        ),
    ),
    Row(
        kc.schedules.Linear,
        "schedule",
        arguments={"initial_value": 0.1, "final_value": 0.9, "begin_step": 2, "end_step": 10},
        knob={"final_value": 0.8},
        reference="tests.core.test_linear:reference",
        bad_arguments=(
            ({"end_step": 2}, ValueError, "end_step"),
            ({"begin_step": -1}, ValueError, "begin_step"),
            ({"begin_step": 1.5}, TypeError, "begin_step"),
            ({"initial_value": "low"}, TypeError, "initial_value"),
        ),
    ),
    Row(
        kc.schedules.ExponentialSparsity,
        "schedule",
        arguments={
            "rate": 0.3,
            "round_steps": 4,
            "num_rounds": 3,
            "begin_step": 1,
            "staircase": False,
        },
        knob={"staircase": True},
        reference="tests.core.test_exponential_sparsity:reference",
        bad_arguments=(
            ({"rate": 1.0}, ValueError, "rate"),
            ({"round_steps": 0}, ValueError, "round_steps"),
            ({"num_rounds": 0}, ValueError, "num_rounds"),
            ({"begin_step": -1}, ValueError, "begin_step"),
            ({"num_rounds": 1.5}, TypeError, "num_rounds"),
            ({"staircase": "yes"}, TypeError, "staircase"),
        ),
    ),
]
