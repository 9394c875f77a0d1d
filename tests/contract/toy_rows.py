"""Catalog rows of the toy methods, as functions of the target: a bug takes the place of the toy."""

from __future__ import annotations

import numpy as np

from keras_reweight.core.testing import Row
from tests.contract.toys import (
    ToyBatchLoss,
    ToyCallback,
    ToyLayer,
    ToyLoss,
    ToyOptimizer,
    ToyPart,
    ToyQuantizer,
    ToySchedule,
    ToyWeighting,
    toy_norm,
)


def _weighting_reference(losses, sharpness):
    raw = 1.0 / (1.0 + sharpness * losses)
    return raw / raw.sum()


def _loss_reference(y_true, y_pred, power):
    error = np.eye(y_pred.shape[-1])[y_true] - y_pred
    return np.mean((1.0 + error**2) ** (power / 2.0), axis=-1)


def _batch_loss_reference(y_true, y_pred, power):
    return (1.0 + np.mean((np.eye(y_pred.shape[-1])[y_true] - y_pred) ** 2)) ** power


def _quantizer_reference(inputs, bits):
    scale = np.abs(inputs).max(axis=0, keepdims=True) / (2 ** (bits - 1) - 1)
    return np.round(inputs / scale) * scale


def _optimizer_reference(start, gradients, learning_rate, momentum):
    moved = []
    for value, steps in zip(start, gradients, strict=True):
        mean = 0.0
        for step, gradient in enumerate(steps, 1):
            mean = momentum * mean + (1.0 - momentum) * gradient
            value = value - learning_rate * mean / (1.0 - momentum**step)
        moved.append(value)
    return moved


def _positive(argument):
    return (({argument: -1.0}, ValueError, argument), ({argument: "one"}, TypeError, argument))


def weighting(target=ToyWeighting, **changes):
    return Row(
        target,
        "weighting",
        arguments={"sharpness": 0.7},
        knob={"sharpness": 2.0},
        reference=_weighting_reference,
        bad_arguments=_positive("sharpness"),
        **changes,
    )


def loss(target=ToyLoss, **changes):
    return Row(
        target,
        "loss",
        arguments={"power": 3.0},
        knob={"power": 2.0},
        reference=_loss_reference,
        bad_arguments=_positive("power"),
        **changes,
    )


def batch_loss(target=ToyBatchLoss, **changes):
    return Row(
        target,
        "loss",
        arguments={"power": 3.0},
        knob={"power": 2.0},
        reference=_batch_loss_reference,
        invariants=("permutation_invariant",),
        bad_arguments=_positive("power"),
        **changes,
    )


def callback(target=ToyCallback, **changes):
    return Row(
        target,
        "callback",
        arguments={"rate": 0.7},
        knob={"rate": 0.2},
        bad_arguments=_positive("rate"),
        **changes,
    )


def layer(target=ToyLayer, **changes):
    return Row(
        target,
        "layer",
        arguments={"factor": 2.0},
        knob={"factor": 3.0},
        reference=lambda inputs, weights, factor: factor * weights[0] * inputs,
        bad_arguments=_positive("factor"),
        **changes,
    )


def optimizer(target=ToyOptimizer, **changes):
    return Row(
        target,
        "optimizer",
        arguments={"learning_rate": 0.2, "momentum": 0.7},
        knob={"momentum": 0.4},
        reference=_optimizer_reference,
        bad_arguments=(*_positive("learning_rate"), *_positive("momentum")),
        **changes,
    )


def quantizer(target=ToyQuantizer, **changes):
    inputs = np.random.default_rng(0).normal(size=(6, 3)).astype("float32")
    return Row(
        target,
        "quantizer",
        arguments={"bits": 3},
        knob={"bits": 5},
        inputs=lambda: {"inputs": inputs},
        reference=_quantizer_reference,
        reference_gradient=lambda cotangent: cotangent,
        bad_arguments=(({"bits": 9}, ValueError, "bits"), ({"bits": "4"}, TypeError, "bits")),
        **changes,
    )


def schedule(target=ToySchedule, **changes):
    return Row(
        target,
        "schedule",
        arguments={"end_step": 6},
        knob={"end_step": 3},
        reference=lambda step, end_step: min(step / end_step, 1.0),
        bad_arguments=(({"end_step": 0}, ValueError, "end_step"),),
        **changes,
    )


def function(target=toy_norm, **changes):
    return Row(
        target,
        "function",
        arguments={"order": 3.0},
        inputs=lambda: {"x": np.array([1.0, -2.0, 3.0], "float32")},
        knob={"order": 2.0},
        reference=lambda x, order: np.sum(np.abs(x) ** order) ** (1.0 / order),
        gradient_of="x",
        jit=True,
        bad_arguments=(({"order": 0.0}, ValueError, "order"),),
        **changes,
    )


def part(target=ToyPart, **changes):
    return Row(
        target,
        "object",
        arguments={"limit": 2.0},
        inputs=lambda: {"values": np.array([1.0, 2.0, 3.0])},
        outcome=lambda made, values: made(values),
        knob={"limit": 1.5},
        reference=lambda values, limit: np.minimum(values, limit),
        bad_arguments=_positive("limit"),
        **changes,
    )


ROWS = [
    weighting(),
    loss(),
    batch_loss(),
    callback(),
    layer(),
    optimizer(),
    quantizer(),
    schedule(),
    function(),
    part(),
]
