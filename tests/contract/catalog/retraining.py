"""Retraining and refitting of pruned models."""

from __future__ import annotations

import keras
import numpy as np

import keras_compress as kc
from keras_reweight.core.testing import Row
from keras_reweight.core.testing.tasks import functional
from tests.compress.retraining import test_prune_reconstruct, test_reconstruct

_X = np.random.default_rng(5).normal(size=(20, 4)).astype("float32")
_NO_MODEL = ({"model": "model"}, TypeError, "model")
_LAYERS = ({"layers": "missing"}, ValueError, "layers")
_LORA = (
    ({"rank": 0}, ValueError, "rank"),
    ({"rank": 1.5}, TypeError, "rank"),
    ({"alpha": 0.0}, ValueError, "alpha"),
    ({"mode": "magic"}, ValueError, "mode"),
)
_DATA = (
    ({"batch_size": 0}, ValueError, "batch_size"),
    ({"damping": 0.0}, ValueError, "damping"),
    ({"data": "data"}, TypeError, "data"),
)


def _pruned():
    model = functional()
    for layer, period in zip(model.layers[1:], (2, 3), strict=True):
        kernel = keras.ops.convert_to_numpy(layer.kernel).copy()
        kernel.ravel()[::period] = 0.0
        layer.kernel.assign(kernel)
    return model


def _adapted(factor=0.2):
    """Every factor filled with one number: rank 2, so `A B` is `2 * factor^2` everywhere."""
    adapted = kc.retraining.add_mask_lora(_pruned(), rank=2, alpha=4.0)
    for layer in adapted.layers[1:]:
        for variable in (layer.lora_a, layer.lora_b):
            variable.assign(np.full(variable.shape, factor))
    return adapted


def _dense(scale=0.5):
    layer = keras.layers.Dense(3)
    layer.build((None, 4))
    kernel = scale * np.random.default_rng(2).normal(size=(4, 3))
    kernel.ravel()[::2] = 0.0
    layer.kernel.assign(kernel)
    return layer


def _weights(model):
    return [keras.ops.convert_to_numpy(variable) for variable in model.weights]


def _merged_weights():
    return [
        np.where(value != 0, value + 2.0 * 2.0 * 0.2**2, 0.0) if value.ndim == 2 else value
        for value in _weights(_pruned())
    ]


def _mask_lora(inputs, weights):
    shapes = {value.shape: value for value in weights}
    kernel, bias = shapes[4, 3], shapes[(3,)]
    a, b = shapes[4, 2], shapes[2, 3]
    return inputs @ (kernel + np.where(kernel != 0, 1.5 * a @ b, 0.0)) + bias


def _first_layer_solved(damping):
    """Weights of the first layer of the pruned model after least squares."""
    kernel, bias = (value.astype("float64") for value in _weights(_pruned())[:2])
    goal, goal_bias = (value.astype("float64") for value in _weights(functional())[:2])
    inputs = np.concatenate([_X.astype("float64"), np.ones((20, 1))], axis=1)
    mask = np.concatenate([kernel != 0, np.ones((1, 5), bool)])
    start = np.concatenate([kernel, bias[None]])
    targets = _X @ goal + goal_bias
    found = test_reconstruct.reference(inputs, targets, mask, start, damping)
    return [found[:-1], found[-1]]


def _swept(damping):
    kernel = _weights(functional())[0].astype("float64")
    gram = _X.T.astype("float64") @ _X
    regular = gram + damping * np.mean(np.diag(gram)) * np.eye(4)
    weight, mask = kernel.copy(), np.ones(kernel.shape, bool)
    inverses = [np.linalg.inv(regular[j:, j:])[0, 0] for j in range(4)]
    costs = weight**2 / np.array(inverses)[:, None]
    mask.ravel()[np.argsort(costs, axis=None)[:10]] = False
    return test_prune_reconstruct.reference(weight, gram, damping, mask)


ROWS = [
    Row(
        kc.layers.MaskLoRA,
        "layer",
        arguments=lambda: {
            "layer": _dense(),
            "rank": 2,
            "alpha": 3.0,
            "mode": "mask",
            "seed": 3,
        },
        knob=lambda: {"layer": _dense(0.9)},
        reference=_mask_lora,
        bad_arguments=(*_LORA, ({"layer": keras.layers.ReLU()}, ValueError, "layer")),
    ),
    Row(
        kc.retraining.add_mask_lora,
        "function",
        inputs=lambda: {"model": _pruned()},
        arguments={
            "rank": 2,
            "alpha": 3.0,
            "mode": "scale",
            "layers": ["hidden", "out"],
            "seed": 1,
        },
        knob={"rank": 3},
        outcome=lambda model: list(model.layers[1].weights),
        reference=lambda: [
            np.full((4, 2), 2**-0.5),
            np.full((2, 5), 2**-0.5),
            *_weights(_pruned())[:2],
        ],
        bad_arguments=(_NO_MODEL, _LAYERS, *_LORA, ({"seed": 0.5}, TypeError, "seed")),
    ),
    Row(
        kc.retraining.merge_lora,
        "function",
        inputs=lambda: {"model": _adapted()},
        knob=lambda: {"model": _adapted(0.3)},
        reference=_merged_weights,
        bad_arguments=(_NO_MODEL,),
    ),
    Row(
        kc.retraining.perp_retrainable,
        "function",
        inputs=lambda: {"model": functional()},
        arguments={"what": ["bias"]},
        knob={"what": ["head"]},
        outcome=lambda report: {"sizes": list(report.touched.values()), "share": report.share},
        reference=lambda: {"sizes": [5, 3], "share": 8 / 43},
        mutates=True,
        bad_arguments=(
            _NO_MODEL,
            ({"what": ["weights"]}, ValueError, "what"),
            ({"what": "bias"}, TypeError, "what"),
        ),
    ),
    Row(kc.retraining.RetrainableReport, "record"),
    Row(
        kc.retraining.reconstruct,
        "function",
        inputs=lambda: {"model": _pruned(), "dense_model": functional(), "data": _X},
        arguments={
            "layers": ["hidden"],
            "method": "least_squares",
            "damping": 0.1,
            "batch_size": 8,
        },
        knob={"damping": 0.5},
        outcome=lambda _, model: list(model.layers[1].weights),
        reference=_first_layer_solved,
        mutates=True,
        bad_arguments=(
            _NO_MODEL,
            _LAYERS,
            *_DATA,
            ({"dense_model": "dense"}, TypeError, "dense_model"),
            ({"method": "magic"}, ValueError, "method"),
            ({"steps": 0}, ValueError, "steps"),
            ({"learning_rate": -1.0}, ValueError, "learning_rate"),
        ),
    ),
    Row(kc.retraining.ReconstructionReport, "record"),
    Row(
        kc.retraining.prune_reconstruct,
        "function",
        inputs=lambda: {"model": functional(), "data": _X},
        arguments={
            "sparsity": 0.5,
            "layers": "hidden",
            "damping": 0.1,
            "batch_size": 8,
            "pattern": kc.pruning.Pattern(),
        },
        knob={"damping": 0.5},
        outcome=lambda _, model: model.layers[1].kernel,
        reference=_swept,
        mutates=True,
        bad_arguments=(
            _NO_MODEL,
            _LAYERS,
            *_DATA,
            ({"sparsity": 1.0}, ValueError, "sparsity"),
            ({"pattern": "2:4"}, TypeError, "pattern"),
            ({"block_size": 0}, ValueError, "block_size"),
        ),
    ),
    Row(
        kc.callbacks.TempBalance,
        "callback",
        arguments={
            "ratio": [0.25, 1.5],
            "method": "hill",
            "every": 1,
            "skip_ends": False,
            "min_eigenvalues": 2,
        },
        knob={"ratio": [0.5, 2.0]},
        bad_arguments=(
            _LAYERS,
            ({"ratio": [2.0, 1.0]}, ValueError, "ratio"),
            ({"ratio": 1.0}, TypeError, "ratio"),
            ({"method": "magic"}, ValueError, "method"),
            ({"every": 0}, ValueError, "every"),
            ({"skip_ends": 1}, TypeError, "skip_ends"),
            ({"min_eigenvalues": 50}, ValueError, "min_eigenvalues"),
        ),
    ),
]
