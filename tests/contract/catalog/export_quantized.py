"""Quantized models in Keras' own layers and in the files of runtimes."""

from __future__ import annotations

import os
import tempfile

import keras
import numpy as np

import keras_compress as kc
from keras_reweight.core.testing import Row

_KERNEL = np.linspace(-1.0, 0.8, 12).reshape(4, 3).astype("float32")
_X = np.linspace(-2.0, 1.7, 8).reshape(2, 4).astype("float32")
_NO_MODEL = (({"model": "model"}, TypeError, "model"),)


def _plain():
    zeros = {"kernel_initializer": "zeros"}
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="dense", **zeros)])
    model.layers[0].kernel.assign(_KERNEL)
    return model


def _rounded(bits):
    """Codes of a symmetric grid with one scale for each output."""
    scale = np.abs(_KERNEL).max(axis=0, keepdims=True) / (2 ** (bits - 1) - 1)
    return np.rint(_KERNEL / scale), scale


def _quantized(bits=4):
    codes, scale = _rounded(bits)
    half = 2 ** (bits - 1)
    grid = kc.grids.AffineGrid(bits, scale=scale, zero_point=half)
    stored = kc.grids.QuantizedMatrix((codes + half).astype("uint8"), grid, (4, 3), (1,))
    model = _plain()
    model.layers[0].kernel.assign(stored.values())
    return kc.quantization.QuantizedModel(
        model,
        {model.layers[0].kernel.path: stored},
        {"dense": kc.quantization.ActivationRange(8, 0.02)},
    )


def _outputs(bits=4):
    codes, scale = _rounded(bits)
    return _X.astype("float64") @ (codes * scale)


def _static_outputs():
    codes, scale = _rounded(8)
    return np.clip(np.rint(_X / 0.02), -128, 127) * 0.02 @ (codes * scale)


def _compute(model):
    return model(_X)


def _int8_model(bits=8):
    return kc.export.to_keras_layers(_quantized(bits), activations="float").model


def _file():
    return os.path.join(tempfile.mkdtemp(), "model.safetensors")


def _saved(bits=8):
    path = _file()
    kc.export.save_quantized(_int8_model(bits), path)
    return path


ROWS = [
    Row(
        kc.export.StaticQuantizer,
        "object",
        arguments={"scale": 0.3, "low": -8, "high": 7},
        outcome=lambda quantizer: quantizer(_X),
        knob={"scale": 0.1},
        reference=lambda: [
            np.rint(np.clip(_X.astype("float64") / 0.3, -8, 7)),
            np.full((2, 1), 1.0 / 0.3),
        ],
        bad_arguments=(
            ({"scale": 0.0}, ValueError, "scale"),
            ({"low": -200}, ValueError, "low"),
            ({"high": 255}, ValueError, "high"),
        ),
    ),
    Row(
        kc.export.to_keras_layers,
        "function",
        inputs=lambda: {"model": _quantized(8)},
        arguments={"activations": "static", "copy": True},
        outcome=lambda found: _compute(found.model),
        knob={"activations": "float"},
        reference=_static_outputs,
        bad_arguments=(
            *_NO_MODEL,
            ({"activations": "int8"}, ValueError, "activations"),
            ({"copy": 1}, TypeError, "copy"),
        ),
    ),
    Row(
        kc.export.save_quantized,
        "function",
        inputs=lambda: {"model": _int8_model(), "path": _file()},
        outcome=lambda _, path: _compute(kc.export.load_quantized(path)),
        knob=lambda: {"model": _int8_model(3)},
        reference=lambda: _outputs(8),
        accepts_any=("path",),
        bad_arguments=_NO_MODEL,
    ),
    Row(
        kc.export.load_quantized,
        "function",
        inputs=lambda: {"path": _saved()},
        outcome=_compute,
        accepts_any=("path",),
        knob=lambda: {"path": _saved(3)},
        reference=lambda: _outputs(8),
        bad_arguments=(({"path": os.devnull}, FileNotFoundError, "/dev/null"),),
    ),
    # These need packages that the tests do without; `evidence/quantized_runtimes.py` runs them.
    Row(kc.export.export_litert, "base"),
    Row(kc.export.export_onnx, "base"),
    Row(kc.export.KerasConversion, "record"),
    Row(kc.export.RuntimeExport, "record"),
]
