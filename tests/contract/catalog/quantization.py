"""Quantizers, quantization-aware layers and models, and their files."""

from __future__ import annotations

import os
import tempfile

import keras
import numpy as np

import keras_compress as kc
from keras_reweight.core.testing import Row
from tests.compress.quantizers import test_lsq, test_stats

_KERNEL = np.linspace(-1.0, 0.8, 12).reshape(4, 3).astype("float32")
_NO_MODEL = (({"model": "model"}, TypeError, "model"),)


def _aware_layer(inputs, weights):
    kernel, bias, scale = weights
    return inputs @ test_lsq.reference(kernel, np.abs(scale), 3) + bias


def _plain_model():
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(3, name="first"), keras.layers.ReLU(name="last")]
    )
    model.layers[0].kernel.assign(_KERNEL)
    return model


def _aware_model(bits=4):
    return kc.quantize_aware(_plain_model(), weights=kc.quantizers.StatsQuantizer(bits=bits))


def _frozen_weights():
    return [test_stats.reference(_KERNEL, 4, (0,)), np.zeros(3)]


def _folded_layer(inputs, weights):
    kernel, bias, gamma, beta, mean, variance = weights
    return (inputs @ kernel + bias - mean) * gamma / np.sqrt(variance + 1e-3) + beta


def _rounded_activation(inputs, weights):
    return test_lsq.reference(inputs, np.abs(weights[0]), 4)


def _rounded_gradient(inputs, weights, cotangent):
    scale = np.abs(weights[0])
    return test_lsq.reference_gradients(inputs, scale, cotangent, (0, 1), 4, True)[0]


def _normalized_model(gamma=0.5):
    norm = keras.layers.BatchNormalization(name="norm")
    model = keras.Sequential([*_plain_model().layers[:1], norm])
    model.build((None, 4))
    for variable, value in zip(norm.weights, (gamma, 0.2, 0.3, 4.0), strict=True):
        variable.assign(np.full(3, value, "float32"))
    return model


def _folded_weights():
    factor = 0.5 / np.sqrt(4.0 + 1e-3)
    return [_KERNEL * factor, np.full(3, 0.2 - 0.3 * factor)]


def _added_model():
    inputs = keras.Input((4,))
    dense = keras.layers.Dense(4, kernel_initializer="identity", name="first")(inputs)
    return keras.Model(inputs, keras.layers.Add(name="add")([dense, inputs]))


def _added_weights(bits):
    # Twice the input.
    scale = 2 * 2 * np.abs(_KERNEL.T).mean() / np.sqrt(2 ** (bits - 1) - 1)
    return [np.eye(4), np.zeros(4), np.array(scale)]


def _file():
    return os.path.join(tempfile.mkdtemp(), "model.safetensors")


def _saved_model(bits=4):
    path = _file()
    kc.quantization.save_packed(_aware_model(bits), path)
    return path


# 12 four-bit codes in 6 bytes and three biases; `StatsQuantizer` has a scale per channel.
_FLOAT_BYTES, _PACKED_BYTES = 4 * 15, 6 + 4 * 3 + 4 * 3
_OF_A_MODEL = {
    "kind": "function",
    "inputs": lambda: {"model": _aware_model()},
    "knob": lambda: {"model": _aware_model(2)},
    "bad_arguments": _NO_MODEL,
}

ROWS = [
    Row(
        kc.layers.QuantizeAware,
        "layer",
        arguments=lambda: {
            "layer": _plain_model().layers[0],
            "weight": kc.quantizers.LSQQuantizer(bits=3),
        },
        knob=lambda: {"weight": kc.quantizers.LSQQuantizer(bits=2)},
        reference=_aware_layer,
        bad_arguments=(
            ({"weight": 4}, TypeError, "weight"),
            ({"activation": "int8"}, TypeError, "activation"),
            ({"layer": keras.layers.ReLU()}, ValueError, "layer"),
            ({"preserve": "all"}, ValueError, "preserve"),
        ),
    ),
    Row(
        kc.layers.FoldedBatchNorm,
        "layer",
        arguments=lambda: {
            "layer": _plain_model().layers[0],
            # Trained, its outputs do not depend on a shift of the inputs: gradients of rounding
            # errors. What training does has tests of its own.
            "batch_norm": keras.layers.BatchNormalization(trainable=False),
            "statistics": "batch",
        },
        knob=lambda: {"batch_norm": keras.layers.BatchNormalization(epsilon=0.5, trainable=False)},
        reference=_folded_layer,
        bad_arguments=(
            ({"layer": keras.layers.ReLU()}, ValueError, "layer"),
            ({"batch_norm": 3}, TypeError, "batch_norm"),
            ({"statistics": "none"}, ValueError, "statistics"),
        ),
    ),
    Row(
        kc.layers.QuantizeActivation,
        "layer",
        arguments=lambda: {"quantizer": kc.quantizers.LSQQuantizer(bits=4)},
        knob=lambda: {"quantizer": kc.quantizers.LSQQuantizer(bits=2)},
        reference=_rounded_activation,
        reference_gradient=_rounded_gradient,
        bad_arguments=(
            ({"quantizer": 8}, TypeError, "quantizer"),
            ({"quantizer": kc.quantizers.StatsQuantizer(name="stats")}, ValueError, "quantizer"),
        ),
    ),
    Row(
        kc.quantization.fold_batch_norm,
        "function",
        inputs=lambda: {"model": _normalized_model()},
        arguments={"layers": "norm"},
        knob=lambda: {"model": _normalized_model(0.7)},
        reference=_folded_weights,
        bad_arguments=(
            *_NO_MODEL,
            ({"layers": "missing"}, ValueError, "layers"),
            ({"trainable": 1}, TypeError, "trainable"),
            ({"trainable": True, "statistics": "none"}, ValueError, "statistics"),
        ),
    ),
    Row(
        kc.quantization.quantize_outputs,
        "function",
        inputs=lambda: {"model": _added_model(), "calibration_data": _KERNEL.T.copy()},
        arguments={"bits": 4},
        knob={"bits": 6},
        reference=_added_weights,
        bad_arguments=(
            *_NO_MODEL,
            ({"bits": 9}, ValueError, "bits"),
            ({"bits": {"missing": 4}}, ValueError, "bits"),
            ({"calibration_data": None}, ValueError, "calibration_data"),
        ),
    ),
    Row(
        kc.quantization.quantized_form,
        arguments={"activations": "drop"},
        outcome=lambda found: [matrix.values() for matrix in found.matrices.values()],
        reference=lambda: _frozen_weights()[:1],
        **_OF_A_MODEL
        | {"bad_arguments": (*_NO_MODEL, ({"activations": "int8"}, ValueError, "activations"))},
    ),
    Row(
        kc.quantize_aware,
        "function",
        inputs=lambda: {"model": _plain_model()},
        arguments={"weights": 4, "method": "stats"},
        outcome=lambda model: kc.freeze(model),
        knob={"weights": 2},
        reference=_frozen_weights,
        bad_arguments=(
            *_NO_MODEL,
            ({"weights": 9}, ValueError, "weights"),
            ({"weights": {"missing": 4}}, ValueError, "weights"),
            ({"method": "magic"}, ValueError, "method"),
            ({"preserve": "all"}, ValueError, "preserve"),
            ({"activations": 8}, ValueError, "calibration_data"),
        ),
    ),
    Row(
        kc.freeze,
        arguments={"activations": "error"},
        reference=_frozen_weights,
        **_OF_A_MODEL
        | {"bad_arguments": (*_NO_MODEL, ({"activations": "int8"}, ValueError, "activations"))},
    ),
    Row(
        kc.quantization.save_packed,
        "function",
        inputs=lambda: {"model": _aware_model(), "path": _file()},
        outcome=lambda _, path: kc.quantization.load_packed(path),
        knob=lambda: {"model": _aware_model(2)},
        reference=_frozen_weights,
        accepts_any=("path",),
        bad_arguments=_NO_MODEL,
    ),
    Row(
        kc.quantization.load_packed,
        "function",
        inputs=lambda: {"path": _saved_model()},
        accepts_any=("path",),
        knob=lambda: {"path": _saved_model(2)},
        reference=_frozen_weights,
        bad_arguments=(({"path": os.devnull}, FileNotFoundError, "/dev/null"),),
    ),
    Row(kc.quantization.packed_size, reference=lambda: _PACKED_BYTES, **_OF_A_MODEL),
    Row(
        kc.quantization.quantization_summary,
        reference=lambda: {
            "layers": [
                {
                    "weight_bits": {"kernel": 4},
                    "float_bytes": _FLOAT_BYTES,
                    "packed_bytes": _PACKED_BYTES,
                }
            ],
            "float_bytes": _FLOAT_BYTES,
            "packed_bytes": _PACKED_BYTES,
        },
        **_OF_A_MODEL,
    ),
    Row(kc.quantization.QuantizationSummary, "record"),
]
