"""Sparse training, dynamic channels, and lottery tickets."""

from __future__ import annotations

import keras
import numpy as np

import keras_compress as kc
from keras_reweight.core.testing import Row
from keras_reweight.core.testing.tasks import functional
from tests.compress.dynamic import test_channel_targets, test_dynamic_channel_gate
from tests.compress.sparse_training import (
    test_input_strength,
    test_quick_selection,
    test_rigl,
    test_set,
)

_FRACTION = (
    ({"fraction": 1.5}, ValueError, "fraction"),
    ({"fraction": "half"}, TypeError, "fraction"),
    ({"end": 0.0}, ValueError, "end"),
)
_WEIGHTS = {"weight": test_set.WEIGHT, "mask": test_set.WEIGHT != 0}
_HEAT = np.random.default_rng(0).exponential(size=(5, 6)).astype("float32")
_GRADIENT = np.random.default_rng(0).normal(size=(4, 4))


def _rigl(rigl, weight, mask, gradient):
    """Share, places that go and places that come, two fifths through the training."""
    fraction = rigl.fraction_at(step=4, progress=0.4)
    dropped = rigl.drop(weight, mask, fraction)
    grown = rigl.grow(dropped | ~mask, int(dropped.sum()), gradient, np.random.default_rng(0))
    return [np.asarray(fraction), dropped, grown]


def _rigl_reference(weight, mask, gradient, fraction, end):
    share = test_rigl.reference_fraction(fraction, 0.4, end)
    dropped, grown = test_rigl.reference_step(weight, mask, gradient, share)
    return [np.asarray(share), dropped, grown]


def _strongest(x, k):
    """The features made from common factors, as the data are built; the order is free."""
    return np.ones(k)


def _gate_layer(inputs, weights):
    _, _, kernel, bias, *head = weights
    gates = test_dynamic_channel_gate.reference_gates(
        test_dynamic_channel_gate.reference_logits(inputs, *head)
    )
    return np.tanh(inputs @ kernel + bias) * gates


def _gate_gradient(inputs, weights, cotangent):
    """Of the layer alone: a decoupled head passes nothing on."""
    _, _, kernel, bias, *head = weights
    gates = test_dynamic_channel_gate.reference_gates(
        test_dynamic_channel_gate.reference_logits(inputs, *head)
    )
    slope = 1.0 - np.tanh(inputs @ kernel + bias) ** 2
    return (cotangent * gates * slope) @ kernel.T


def _gated_model():
    """Four features, five channels of which the head switches on the first three."""
    gate = kc.layers.DynamicChannelGate(keras.layers.Dense(5, activation="relu"), name="gate")
    model = keras.Sequential([keras.Input((4,)), gate, keras.layers.Dense(3)])
    gate.head.kernel.assign(np.zeros((4, 5)))
    gate.head.bias.assign([1.0, 1.0, 1.0, -1.0, -1.0])
    return model


def _train(model, callbacks):
    if not model.compiled:
        model.compile(keras.optimizers.SGD(0.1), "mse", run_eagerly=True)
    x = np.linspace(-1.0, 1.0, 16).reshape(4, 4).astype("float32")
    model.fit(x, x[:, :3], shuffle=False, verbose=0, callbacks=callbacks)


def _sparsities(model, rounds, amount):
    size = sum(np.prod(v.shape) for v in model.weights if len(v.shape) == 2)
    return np.array([round((1.0 - (1.0 - amount) ** i) * size) / size for i in range(rounds + 1)])


ROWS = [
    Row(kc.sparse_training.Evolution, "base"),
    Row(
        kc.sparse_training.SET,
        "object",
        arguments={"fraction": 0.4, "sign_wise": True, "std": 0.2, "end": 0.5},
        inputs=lambda: dict(_WEIGHTS),
        outcome=lambda evolution, weight, mask: evolution.drop(weight, mask, evolution.fraction),
        knob={"sign_wise": False},
        reference=test_set.reference_dropped,
        bad_arguments=(
            *_FRACTION,
            ({"std": -1.0}, ValueError, "std"),
            ({"sign_wise": 1}, TypeError, "sign_wise"),
        ),
    ),
    Row(
        kc.sparse_training.RigL,
        "object",
        arguments={"fraction": 0.6, "end": 0.9},
        inputs=lambda: {**_WEIGHTS, "gradient": _GRADIENT},
        outcome=_rigl,
        knob={"end": 0.5},
        reference=_rigl_reference,
        bad_arguments=_FRACTION,
    ),
    Row(
        kc.callbacks.SparseTraining,
        "callback",
        arguments=lambda: {
            "sparsity": 0.5,
            "method": kc.sparse_training.RigL(0.6, end=1.0),
            "allocation": kc.pruning.UniformAllocation(),
            "seed": 3,
        },
        knob={"method": "set"},
        bad_arguments=(
            ({"sparsity": 1.0}, ValueError, "sparsity"),
            ({"sparsity": "half"}, TypeError, "sparsity"),
            ({"method": "magic"}, ValueError, "method"),
            ({"allocation": "global"}, TypeError, "allocation"),
            ({"frequency": 0}, ValueError, "frequency"),
            ({"frequency": "step"}, ValueError, "frequency"),
            ({"layers": "missing"}, ValueError, "layers"),
            ({"rescale": 1}, TypeError, "rescale"),
            ({"seed": -1}, ValueError, "seed"),
        ),
    ),
    Row(
        kc.sparse_training.input_strength,
        "function",
        arguments={"fraction": 0.0},
        inputs=lambda: {"kernel": test_set.WEIGHT},
        knob={"fraction": 0.4},
        reference=test_input_strength.reference_strength,
        bad_arguments=(
            ({"fraction": 1.5}, ValueError, "fraction"),
            ({"kernel": np.ones(3)}, ValueError, "kernel"),
            ({"kernel": "kernel"}, TypeError, "kernel"),
        ),
    ),
    Row(
        kc.sparse_training.quick_selection,
        "function",
        arguments={"k": 3, "hidden": 20, "epsilon": 4.0, "epochs": 20, "seed": 1},
        inputs=lambda: {"x": test_quick_selection.data(200)},
        outcome=lambda found: (found < 12).astype("float64"),
        knob={"k": 2},
        reference=_strongest,
        bad_arguments=(
            ({"k": 0}, ValueError, "k"),
            ({"k": 25}, ValueError, "k"),
            ({"hidden": 0}, ValueError, "hidden"),
            ({"epsilon": 0.0}, ValueError, "epsilon"),
            ({"fraction": 1.5}, ValueError, "fraction"),
            ({"epochs": 0}, ValueError, "epochs"),
            ({"seed": -1}, ValueError, "seed"),
            ({"x": np.ones(3)}, ValueError, "x"),
        ),
    ),
    Row(
        kc.dynamic.channel_targets,
        "function",
        arguments={"share": 0.7, "kind": "mass"},
        inputs=lambda: {"heat": _HEAT},
        knob={"kind": "uniform"},
        reference=test_channel_targets.reference_targets,
        jit=True,
        bad_arguments=(
            ({"share": 0.0}, ValueError, "share"),
            ({"share": "most"}, TypeError, "share"),
            ({"kind": "heat"}, ValueError, "kind"),
        ),
    ),
    Row(
        kc.layers.DynamicChannelGate,
        "layer",
        arguments=lambda: {
            "layer": keras.layers.Dense(5, activation="tanh"),
            "share": 0.7,
            "kind": "uniform",
            "weight": 0.5,
        },
        knob=lambda: {"layer": keras.layers.Dense(5, activation="relu")},
        reference=_gate_layer,
        reference_gradient=_gate_gradient,
        bad_arguments=(
            ({"layer": "dense"}, TypeError, "layer"),
            ({"share": 1.5}, ValueError, "share"),
            ({"kind": "heat"}, ValueError, "kind"),
            ({"mode": "coupled"}, ValueError, "mode"),
            ({"weight": -1.0}, ValueError, "weight"),
        ),
    ),
    Row(kc.dynamic.DynamicComputeReport, "record"),
    Row(
        kc.dynamic.dynamic_macs,
        "function",
        inputs=lambda: {"model": _gated_model(), "data": np.ones((6, 4), "float32")},
        arguments={"batch_size": 4},
        outcome=lambda report: [report.dense, report.heads, report.dynamic],
        # Three of five channels are on: 12 of 20 products, 15 in the last layer, 20 to predict.
        reference=lambda: [35.0, 20.0, 47.0],
        knob=lambda: {"model": keras.Sequential([_gated_model(), keras.layers.Dense(2)])},
        accepts_any=("input_shapes",),
        bad_arguments=(
            ({"model": "model"}, TypeError, "model"),
            ({"model": functional()}, ValueError, "layers"),
            ({"batch_size": 0}, ValueError, "batch_size"),
        ),
    ),
    Row(
        kc.dynamic.set_gate_weight,
        "function",
        inputs=lambda: {"model": _gated_model()},
        arguments={"weight": 0.5, "layers": "gate"},
        outcome=lambda _, model: model.get_layer("gate").loss_weight,
        reference=lambda weight: weight,
        mutates=True,
        knob={"weight": 0.25},
        bad_arguments=(
            ({"weight": -1.0}, ValueError, "weight"),
            ({"layers": "missing"}, ValueError, "layers"),
            ({"model": "model"}, TypeError, "model"),
        ),
    ),
    Row(
        kc.retraining.iterative_prune,
        "function",
        inputs=lambda: {"model": functional(), "fit": _train},
        arguments={"rounds": 1, "amount": 0.4, "rewind": "learning_rate"},
        outcome=lambda found: np.array([round.sparsity for round in found]),
        reference=_sparsities,
        mutates=True,
        knob={"amount": 0.3},
        accepts_any=("directory",),
        bad_arguments=(
            ({"model": "model"}, TypeError, "model"),
            ({"fit": "fit"}, TypeError, "fit"),
            ({"rounds": -1}, ValueError, "rounds"),
            ({"amount": 1.0}, ValueError, "amount"),
            ({"rewind": "middle"}, ValueError, "rewind"),
            ({"rewind": 0}, ValueError, "rewind"),
            ({"criterion": "magnitude"}, TypeError, "criterion"),
            ({"allocation": "global"}, TypeError, "allocation"),
            ({"pattern": "2:4"}, TypeError, "pattern"),
            ({"layers": "missing"}, ValueError, "layers"),
            ({"stop": "soon"}, TypeError, "stop"),
        ),
    ),
    Row(kc.retraining.PruningRound, "record"),
]
