"""Functions of arrays and tensors, for training loops of your own."""

from __future__ import annotations

import numpy as np

import keras_reweight as kr
from keras_reweight.core.testing import Row


def _steer():
    from tests.reweight.functional.test_steer_weights import inputs

    return inputs()


def _estimates():
    from tests.reweight.functional.test_mse_optimal_mixing import estimates

    first, second, target = estimates(20)
    return {"first": first, "second": second, "target": target}


ROWS = [
    Row(
        kr.functional.f_divergence_weight,
        "function",
        inputs=lambda: {"ratio": np.array([-2.0, 0.1, 0.9, 3.0], "float32")},
        arguments={
            "kind": "jeffreys",
            "from_logits": True,
            "normalization": "mean_one",
            "clip": 2.5,
        },
        knob={"kind": "pearson"},
        reference="tests.reweight.functional.test_f_divergence_weight:reference",
        jit=True,
        invariants=("nonnegative", "mean_one", "permutation_equivariant"),
        bad_arguments=(
            ({"kind": "total_variation"}, ValueError, "kind"),
            ({"from_logits": 1}, TypeError, "from_logits"),
            ({"normalization": "max_one"}, ValueError, "normalization"),
            ({"clip": 0.0}, ValueError, "clip"),
        ),
    ),
    Row(
        kr.functional.gairat_weights,
        "function",
        inputs=lambda: {"kappa": np.array([0, 3, 5, 8, 10], "int32")},
        arguments={"num_steps": 10, "shift": 0.5, "kind": "sigmoid"},
        knob={"shift": -1.0},
        reference="tests.reweight.functional.test_gairat_weights:reference",
        jit=True,
        invariants=("nonnegative", "mean_one", "permutation_equivariant"),
        bad_arguments=(
            ({"num_steps": 1}, ValueError, "num_steps"),
            ({"num_steps": 2.5}, TypeError, "num_steps"),
            ({"shift": "none"}, TypeError, "shift"),
            ({"kind": "linear"}, ValueError, "kind"),
        ),
    ),
    Row(
        kr.functional.max_variance_subset,
        "function",
        inputs=lambda: {"values": np.array([0.3, -1.0, 2.5, 0.4, 1.1, -0.2, 0.8], "float32")},
        arguments={"num_kept": 3},
        knob={"num_kept": 4},
        reference="tests.reweight.functional.test_max_variance_subset:reference",
        jit=True,
        bad_arguments=(
            ({"num_kept": 0}, ValueError, "num_kept"),
            ({"num_kept": 8}, ValueError, "num_kept"),
            ({"num_kept": 1.5}, TypeError, "num_kept"),
            ({"values": np.zeros((2, 2, 2), "float32")}, ValueError, "values"),
        ),
    ),
    Row(
        kr.functional.mse_optimal_mixing,
        "function",
        inputs=_estimates,
        knob={"target": np.array([1.5, -1.0, 1.0], "float32")},
        reference="tests.reweight.functional.test_mse_optimal_mixing:reference",
        jit=True,
        bad_arguments=(({"second": np.zeros((20, 2), "float32")}, ValueError, "second"),),
    ),
    Row(
        kr.functional.steer_weights,
        "function",
        inputs=_steer,
        arguments={"minimum": 0.7, "maximum": 1.2, "mode": "linear", "floor": 0.1},
        knob={"mode": "exponential"},
        reference="tests.reweight.functional.test_steer_weights:reference",
        jit=True,
        invariants=("nonnegative", "permutation_equivariant"),
        bad_arguments=(
            ({"minimum": 0.0}, ValueError, "minimum"),
            ({"maximum": 0.5}, ValueError, "maximum"),
            ({"maximum": "large"}, TypeError, "maximum"),
            ({"mode": "cubic"}, ValueError, "mode"),
            ({"floor": 0.0}, ValueError, "floor"),
        ),
    ),
    Row(
        kr.functional.top_tokens,
        "function",
        inputs=lambda: {
            "score": np.array([[0.1, 2.0, 0.3], [0.5, 0.2, 9.0]], "float32"),
            "mask": np.array([[True, True, True], [True, True, False]]),
        },
        arguments={"fraction": 0.4},
        knob={"fraction": 0.8},
        reference="tests.reweight.functional.test_top_tokens:reference",
        jit=True,
        bad_arguments=(
            ({"fraction": 0.0}, ValueError, "fraction"),
            ({"fraction": "most"}, TypeError, "fraction"),
        ),
    ),
]
