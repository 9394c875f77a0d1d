"""Quantization-aware training: oscillations, annealing, scales, bits, batch statistics."""

from __future__ import annotations

import keras
import numpy as np

import keras_compress as kc
from keras_reweight.core.testing import Row
from tests.compress.qat import (
    steps,
    test_confidence_guided_annealing,
    test_gradient_disorder,
    test_oscillation_dampening,
    test_oscillation_freezing,
    test_oscillation_monitor,
    test_scale_gradient_freezing,
)

_LAYERS = ({"layers": "missing"}, ValueError, "layers")
_MOMENTUM = (
    ({"momentum": 0.0}, ValueError, "momentum"),
    ({"momentum": "much"}, TypeError, "momentum"),
)
_SMALL = {"kernel": 0.05 * steps.GRADIENTS["kernel"]}


def _frequencies(monitor, kernel, gradients):
    steps.apply(steps.quantized(kernel), monitor, gradients=gradients)
    return [*monitor.frequencies.values()]


def _trained(callback, kernel, gradients):
    return steps.kernel_of(steps.apply(steps.quantized(kernel), callback, gradients=gradients))


def _annealed(callback, kernel, gradients):
    model = steps.quantized(kernel, kc.quantizers.StatsQuantizer(3))
    return steps.kernel_of(steps.apply(model, callback, gradients=gradients))


def _frozen_scales(callback, kernel, gradients):
    return steps.scale_of(steps.apply(steps.quantized(kernel), callback, gradients=gradients))


def _attached(callback, model):
    """Refuses what does not fit the model; what it does in `fit` is tested elsewhere."""
    callback.set_model(model)
    callback.detach()


def _bits(schedule, model):
    _attached(schedule, model)
    return [schedule.bits_at(epoch) or 0 for epoch in range(4)]


def _frozen_epochs(freeze, model):
    _attached(freeze, model)
    return np.arange(4) >= freeze.epoch


def _normalized():
    model = keras.Sequential([keras.Input((4,)), keras.layers.BatchNormalization(name="norm")])
    model.compile("sgd", "mse")
    return model


ROWS = [
    Row(
        kc.qat.gradient_disorder,
        "function",
        inputs=lambda: {"gradients": steps.GRADIENTS["scale"]},
        knob={"gradients": np.abs(steps.GRADIENTS["scale"])},
        reference=test_gradient_disorder.reference,
        bad_arguments=(
            ({"gradients": np.ones(1)}, ValueError, "gradients"),
            ({"gradients": np.array([1.0, np.inf])}, ValueError, "gradients"),
            ({"gradients": ["a", "b"]}, TypeError, "gradients"),
        ),
    ),
    Row(
        kc.callbacks.OscillationMonitor,
        "object",
        arguments={"momentum": 0.2, "threshold": 0.1, "layers": "dense", "name": "restless"},
        inputs=lambda: {"kernel": steps.KERNEL, "gradients": steps.GRADIENTS},
        outcome=_frequencies,
        reference=lambda kernel, gradients, momentum: [
            test_oscillation_monitor.reference_frequencies(kernel, gradients, momentum)[0]
        ],
        knob={"momentum": 0.3},
        bad_arguments=(_LAYERS, *_MOMENTUM, ({"threshold": 1.0}, ValueError, "threshold")),
    ),
    Row(
        kc.callbacks.OscillationFreezing,
        "object",
        arguments={"threshold": 0.3, "momentum": 0.2, "layers": "dense"},
        inputs=lambda: {"kernel": steps.KERNEL, "gradients": steps.GRADIENTS},
        outcome=_trained,
        reference=lambda kernel, gradients, threshold, momentum: (
            test_oscillation_freezing.reference_freezing(kernel, gradients, threshold, momentum)[0]
        ),
        knob={"threshold": 0.15},
        bad_arguments=(
            _LAYERS,
            *_MOMENTUM,
            ({"threshold": 0.0}, ValueError, "threshold"),
            ({"threshold": "low"}, TypeError, "threshold"),
        ),
    ),
    Row(
        kc.callbacks.OscillationDampening,
        "object",
        arguments={"strength": 0.3, "layers": "dense"},
        inputs=lambda: {"kernel": steps.KERNEL, "gradients": steps.GRADIENTS},
        outcome=_trained,
        reference=lambda kernel, gradients, strength: test_oscillation_dampening.reference_dampened(
            kernel, gradients, strength
        )[0],
        knob={"strength": 0.1},
        bad_arguments=(
            _LAYERS,
            ({"strength": -1.0}, ValueError, "strength"),
            ({"strength": "strong"}, TypeError, "strength"),
        ),
    ),
    Row(
        kc.callbacks.ConfidenceGuidedAnnealing,
        "object",
        arguments={"boundary_range": 0.2, "layers": "dense"},
        inputs=lambda: {"kernel": steps.KERNEL, "gradients": _SMALL},
        outcome=_annealed,
        reference=lambda kernel, gradients, boundary_range: (
            test_confidence_guided_annealing.reference_annealed(
                kernel, gradients, 3, boundary_range
            )
        ),
        knob={"boundary_range": 0.4},
        bad_arguments=(
            _LAYERS,
            ({"boundary_range": 0.6}, ValueError, "boundary_range"),
            ({"boundary_range": 0.0}, ValueError, "boundary_range"),
            ({"boundary_range": "narrow"}, TypeError, "boundary_range"),
        ),
    ),
    Row(
        kc.callbacks.ScaleGradientFreezing,
        "object",
        arguments={"threshold": 0.4, "interval": 4, "layers": "dense"},
        inputs=lambda: {
            "kernel": steps.KERNEL,
            "gradients": test_scale_gradient_freezing.orderly(),
        },
        outcome=_frozen_scales,
        reference=lambda kernel, gradients, threshold, interval: (
            test_scale_gradient_freezing.reference_frozen(kernel, gradients, threshold, interval)[0]
        ),
        knob={"interval": 7},
        bad_arguments=(
            _LAYERS,
            ({"threshold": 0.0}, ValueError, "threshold"),
            ({"threshold": "low"}, TypeError, "threshold"),
            ({"interval": 1}, ValueError, "interval"),
            ({"interval": 2.5}, TypeError, "interval"),
        ),
    ),
    Row(
        kc.callbacks.BitWidthSchedule,
        "object",
        arguments={"stages": [[1, 4], [3, 2]], "layers": "dense"},
        inputs=lambda: {"model": steps.quantized(weight=kc.quantizers.LSQQuantizer(8))},
        outcome=_bits,
        reference=lambda: [0, 4, 4, 2],
        mutates=True,
        knob={"stages": [[2, 4]]},
        bad_arguments=(
            _LAYERS,
            ({"stages": []}, ValueError, "stages"),
            ({"stages": [[2, 4], [2, 3]]}, ValueError, "stages"),
            ({"stages": [[0, 9]]}, ValueError, "stages"),
            ({"stages": [[0, 1]]}, ValueError, "bits"),
            ({"stages": [3]}, TypeError, "stages"),
            ({"stages": "4"}, TypeError, "stages"),
        ),
    ),
    Row(
        kc.callbacks.FreezeBatchNorm,
        "object",
        arguments={"epoch": 2, "parameters": True, "layers": "norm"},
        inputs=lambda: {"model": _normalized()},
        outcome=_frozen_epochs,
        reference=lambda epoch: np.arange(4) >= epoch,
        mutates=True,
        knob={"epoch": 3},
        bad_arguments=(
            _LAYERS,
            ({"epoch": -1}, ValueError, "epoch"),
            ({"epoch": 1.5}, TypeError, "epoch"),
            ({"parameters": 1}, TypeError, "parameters"),
        ),
    ),
]
