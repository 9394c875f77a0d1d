"""Post-training quantization: the driver, GPTQ and what was built on it."""

from __future__ import annotations

import functools

import numpy as np

import keras_compress as kc
from keras_compress.post_training import LayerProblem
from keras_reweight.core.testing import Row
from keras_reweight.core.testing.tasks import functional
from tests.compress.post_training import test_baq, test_round_to_nearest
from tests.compress.post_training.common import formula_data, reference_solution

BITS = 3
_INPUTS, _EXACT, _WEIGHT = formula_data()
_X = np.random.default_rng(3).normal(size=(20, 4)).astype("float32")


def _problem(weight, inputs, exact):
    return LayerProblem.from_inputs(weight, inputs, BITS, float_inputs=exact)


def _solved(solver, weight, inputs, exact):
    return solver.solve(_problem(weight, inputs, exact)).values()


_ROW = functools.partial(
    Row,
    kind="object",
    inputs=lambda: {"weight": _WEIGHT, "inputs": _INPUTS, "exact": _EXACT},
    outcome=_solved,
)
_DAMPING = (({"damping": 0.0}, ValueError, "damping"), ({"damping": "a"}, TypeError, "damping"))
_CLIP = ({"clip": "none"}, ValueError, "clip")
_OPTIONS = (
    *_DAMPING,
    ({"act_order": 1}, TypeError, "act_order"),
    ({"static_groups": "yes"}, TypeError, "static_groups"),
    _CLIP,
)
_ALPHA = ({"alpha": -0.1}, ValueError, "alpha")


def _gptq(weight, inputs, exact, damping, act_order, alpha=0.0, residual=0.0):
    problem = _problem(weight, inputs, exact)
    return reference_solution(problem, damping, act_order, alpha=alpha, residual=residual)


def _model_solved(bits):
    """GPTQ of the first layer, then of the second on what the first one now gives."""
    first, second = functional().layers[1:]
    arrays = [
        np.asarray(kernel, "float64")
        for layer in (first, second)
        for kernel in map(np.array, layer.get_weights())
    ]
    inputs = _X.astype("float64")
    for number in (0, 2):
        problem = LayerProblem.from_inputs(arrays[number], inputs, bits)
        arrays[number] = reference_solution(problem)
        inputs = np.tanh(inputs @ arrays[number] + arrays[number + 1])
    return arrays


ROWS = [
    Row(kc.post_training.LayerProblem, "record"),
    Row(kc.post_training.PostTrainingReport, "record"),
    Row(kc.post_training.Solver, "base"),
    _ROW(
        kc.post_training.RoundToNearest,
        arguments={"clip": "min_max", "axis": "output"},
        knob={"clip": "mse"},
        reference=lambda weight: test_round_to_nearest.reference(weight, BITS),
        bad_arguments=(_CLIP, ({"axis": "rows"}, ValueError, "axis")),
    ),
    _ROW(
        kc.post_training.GPTQ,
        arguments={"damping": 0.02, "act_order": True},
        knob={"axis": "input"},
        reference=_gptq,
        bad_arguments=(*_OPTIONS, ({"axis": "rows"}, ValueError, "axis")),
    ),
    _ROW(
        kc.post_training.GPTAQ,
        arguments={"alpha": 0.9, "damping": 0.02, "act_order": True},
        knob={"clip": "mse"},
        reference=_gptq,
        bad_arguments=(_ALPHA, *_OPTIONS),
    ),
    _ROW(
        kc.post_training.ResComp,
        arguments={
            "alpha": 0.9,
            "residual": 0.4,
            "mode": "org",
            "damping": 0.02,
            "act_order": True,
        },
        knob={"clip": "mse"},
        reference=_gptq,
        bad_arguments=(
            _ALPHA,
            ({"residual": -1.0}, ValueError, "residual"),
            ({"mode": "all"}, ValueError, "mode"),
            *_OPTIONS,
        ),
    ),
    _ROW(
        kc.post_training.BAQ,
        arguments={"damping": 0.02, "theta": 1.8},
        knob={"integer_bits": True},
        reference=lambda weight, inputs, damping, theta: test_baq.reference(
            weight, 2.0 / len(inputs) * inputs.T @ inputs, BITS, damping, theta
        ),
        bad_arguments=(
            *_DAMPING,
            ({"theta": 0.0}, ValueError, "theta"),
            ({"integer_bits": 1}, TypeError, "integer_bits"),
        ),
    ),
    Row(
        kc.post_training.quantize,
        "function",
        inputs=lambda: {"model": functional(), "data": _X},
        arguments={"bits": 3, "batch_size": 10},
        outcome=lambda quantized: quantized.model,
        knob={"bits": 2},
        reference=_model_solved,
        accepts_any=("loss", "directory"),
        bad_arguments=(
            ({"model": "model"}, TypeError, "model"),
            ({"data": "data"}, TypeError, "data"),
            ({"solver": "gptq"}, TypeError, "solver"),
            ({"bits": 9}, ValueError, "bits"),
            ({"group_size": 0}, ValueError, "group_size"),
            ({"symmetric": 1}, TypeError, "symmetric"),
            ({"layers": "missing"}, ValueError, "layers"),
            ({"token_weights": 3}, TypeError, "token_weights"),
            ({"batch_size": 0}, ValueError, "batch_size"),
            ({"copy": 1}, TypeError, "copy"),
            ({"verbose": 3}, ValueError, "verbose"),
        ),
    ),
]
