"""Quantizers, quantization-aware layers and models, and their files."""

from __future__ import annotations

import os
import tempfile

import keras
import numpy as np

import keras_compress as kc
from keras_reweight.core.testing import Row
from tests.compress.quantization import test_lsq, test_stats
from tests.compress.quantization.common import KERNEL

_KERNEL = np.linspace(-1.0, 0.8, 12).reshape(4, 3).astype("float32")
_BITS = ({"bits": 1}, ValueError, "bits"), ({"bits": 4.0}, TypeError, "bits")
_NO_MODEL = (({"model": "model"}, TypeError, "model"),)


def _stats(bits, inputs):
    return test_stats.reference(inputs, bits, (0,))


def _lsq(bits, signed, inputs, weights):
    return test_lsq.reference(inputs, np.abs(weights[0]), bits, signed)


def _lsq_gradient(bits, signed, inputs, weights, cotangent):
    scale = np.abs(weights[0])
    return test_lsq.reference_gradients(inputs, scale, cotangent, (0,), bits, signed)[0]


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
    Row(kc.quantizers.Quantizer, "base"),
    Row(
        kc.quantizers.LSQQuantizer,
        "quantizer",
        arguments={"bits": 3, "axis": -1, "signed": True},
        inputs=lambda: {"inputs": KERNEL},
        knob={"bits": 5},
        reference=_lsq,
        reference_gradient=_lsq_gradient,
        bad_arguments=(*_BITS, ({"signed": 1}, TypeError, "signed")),
    ),
    Row(
        kc.quantizers.StatsQuantizer,
        "quantizer",
        arguments={"bits": 3, "axis": -1},
        inputs=lambda: {"inputs": KERNEL},
        knob={"bits": 5},
        reference=_stats,
        reference_gradient=lambda cotangent: cotangent,
        bad_arguments=_BITS,
    ),
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
        ),
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
