"""Sparse files, and weights of models pruned elsewhere."""

from __future__ import annotations

import gzip
import os
import pathlib
import tempfile

import keras
import numpy as np

import keras_compress as kc
from keras_reweight.core.testing import Row
from tests.compress import migration

_KERNEL = np.where(np.arange(48).reshape(6, 8) % 5, 0.0, 1.0 + np.arange(48).reshape(6, 8))
_TFMOT = pathlib.Path(migration.__file__).with_name("tfmot_weights.npz")
_NO_MODEL = ({"model": "model"}, TypeError, "model")


def _model(kernel=_KERNEL):
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(8, kernel_initializer="zeros")])
    model.layers[0].kernel.assign(kernel)
    return model


def _file():
    return os.path.join(tempfile.mkdtemp(), "model.safetensors")


def _saved(kernel=_KERNEL):
    path = _file()
    kc.export.save_sparse(_model(kernel), path)
    return path


def _sizes():
    """10 values of 48, four zeros between them: codes of three bits. The bias takes nothing."""
    raw = _KERNEL.astype("float32").tobytes()
    codes = sum(4 << 3 * index for index in range(1, 10)).to_bytes(4, "little")
    sparse = codes + _KERNEL[_KERNEL != 0].astype("float32").tobytes()
    kernel = {"shape": [6, 8], "num_bytes": len(raw), "sparse_bytes": len(sparse)}
    bias = {"shape": [8], "num_bytes": 32, "sparse_bytes": 0}
    return {
        "weights": [kernel, bias],
        "num_bytes": len(raw) + 32,
        "gzip_bytes": len(gzip.compress(raw + bytes(32), compresslevel=6, mtime=0)),
        "sparse_bytes": len(sparse),
        "sparse_gzip_bytes": len(gzip.compress(sparse, compresslevel=6, mtime=0)),
    }


def _tfmot_model():
    return keras.Sequential(
        [keras.Input((2,)), keras.layers.Dense(2, kernel_initializer="zeros", use_bias=False)]
    )


def _tfmot_file(scale=1.0):
    """What the script for tfmot writes."""
    from keras_compress.migration.tfmot_script import save_tfmot_weights

    class Variable:
        name = "dense/kernel:0"

        def __init__(self, value):
            self.value = np.asarray(value, "float32")

        def numpy(self):
            return self.value

    class Dense:
        name = "dense"
        weights = (Variable(scale * np.arange(1, 5).reshape(2, 2)),)

    class Wrapper:
        layer = Dense()
        pruning_vars = ((Dense.weights[0], Variable([[1, 0], [0, 1]]), None),)

    class Model:
        layers = (Wrapper(),)

    path = os.path.join(tempfile.mkdtemp(), "weights.npz")
    save_tfmot_weights(Model(), path)
    return path


ROWS = [
    Row(
        kc.export.save_sparse,
        "function",
        inputs=lambda: {"model": _model(), "path": _file()},
        arguments={"architecture": True},
        outcome=lambda _, path: kc.export.load_sparse(path, model=_model()),
        knob=lambda: {"model": _model(2.0 * _KERNEL)},
        reference=lambda: [_KERNEL, np.zeros(8)],
        accepts_any=("path",),
        bad_arguments=(_NO_MODEL, ({"architecture": "yes"}, TypeError, "architecture")),
    ),
    Row(
        kc.export.load_sparse,
        "function",
        inputs=lambda: {"path": _saved()},
        knob=lambda: {"path": _saved(2.0 * _KERNEL)},
        reference=lambda: [_KERNEL, np.zeros(8)],
        accepts_any=("path",),
        bad_arguments=(({"path": os.devnull}, FileNotFoundError, "/dev/null"), _NO_MODEL),
    ),
    Row(
        kc.export.file_sizes,
        "function",
        inputs=lambda: {"model": _model()},
        knob=lambda: {"model": _model(np.zeros((6, 8)))},
        reference=_sizes,
        bad_arguments=(_NO_MODEL,),
    ),
    Row(kc.export.FileSizes, "record"),
    Row(
        kc.migration.load_tfmot_weights,
        "function",
        inputs=lambda: {"model": _tfmot_model(), "path": _tfmot_file()},
        outcome=lambda _, model: model,
        knob=lambda: {"path": _tfmot_file(3.0)},
        reference=lambda: [np.diag([1.0, 4.0])],
        accepts_any=("path",),
        mutates=True,
        bad_arguments=(_NO_MODEL, ({"path": str(_TFMOT)}, ValueError, "tfmot_weights.npz")),
    ),
]
