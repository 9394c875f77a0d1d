"""Probabilities that mean what they say: calibration, and classes in order."""

from __future__ import annotations

import keras
import numpy as np

import keras_reweight as kr
from keras_reweight.core.testing import Row, tasks
from tests.reweight.functional.test_empirical_probability_targets import (
    reference as empirical_targets,
)

_X = np.random.default_rng(0).normal(size=(12, 3)).astype("float32")
_Y = np.array([0, 1, 0, 1, 1, 0, 1, 0, 1, 0, 0, 1])
_KERNEL = np.array([[0.7], [-1.1], [0.4]])


def _soft_labels(callback):
    """The labels of the second epoch of a model whose kernel stays as it is."""
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, use_bias=False)])
    model.layers[0].kernel.assign(_KERNEL.astype("float32"))
    loss = keras.losses.BinaryCrossentropy(from_logits=callback.from_logits)
    model.compile(keras.optimizers.SGD(0.0), loss)
    found = []
    spy = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: found.append(callback.dataset.labels)
    )
    model.fit(callback.dataset, epochs=2, verbose=0, callbacks=[callback, spy])
    return found[1]


def _soft_labels_reference(method, num_bins, bandwidth, window):
    probability = 1 / (1 + np.exp(-(_X.astype("float64") @ _KERNEL[:, 0])))
    return empirical_targets(probability, _Y, method, num_bins, bandwidth, window)


def _ordinal():
    y_pred = np.sort(np.random.default_rng(0).normal(size=(12, 3)).astype("float32"), axis=-1)
    return {"y_true": np.arange(12) % 4, "y_pred": y_pred}


ROWS = [
    Row(
        kr.functional.empirical_probability_targets,
        "function",
        inputs=lambda: {
            "probability": np.random.default_rng(0).uniform(size=12),
            "outcome": _Y,
        },
        arguments={
            "method": "kde",
            "num_bins": 3,
            "bandwidth": 0.1,
            "window": 4,
            "sample_weight": np.linspace(0.2, 2.0, 12),
        },
        knob={"bandwidth": 0.3},
        reference="tests.reweight.functional.test_empirical_probability_targets:reference",
        invariants=("nonnegative",),
        bad_arguments=(
            ({"method": "kernel"}, ValueError, "method"),
            ({"num_bins": 0}, ValueError, "num_bins"),
            ({"bandwidth": 0.0}, ValueError, "bandwidth"),
            ({"window": 1.5}, TypeError, "window"),
            ({"outcome": np.full(12, 2.0)}, ValueError, "outcome"),
            ({"sample_weight": np.full(12, -1.0)}, ValueError, "sample_weight"),
        ),
    ),
    Row(
        kr.data.SoftLabelDataset,
        "object",
        arguments={
            "x": _X,
            "y": _Y,
            "batch_size": 5,
            "sample_weight": np.linspace(0.2, 2.0, 12),
            "shuffle": False,
            "seed": 3,
        },
        knob={"batch_size": 6},
        outcome=lambda dataset: dataset[1],
        reference=lambda x, y, sample_weight: (x[5:10], y[5:10], sample_weight[5:10]),
        bad_arguments=(
            ({"batch_size": 0}, ValueError, "batch_size"),
            ({"seed": -1}, ValueError, "seed"),
            ({"y": _Y[:5]}, ValueError, "x"),
            ({"shuffle": 1}, TypeError, "shuffle"),
        ),
    ),
    Row(
        kr.callbacks.CaPE,
        "object",
        arguments=lambda: {
            "dataset": kr.data.SoftLabelDataset(_X, _Y, batch_size=12),
            "period": 1,
            "method": "kde",
            "num_bins": 3,
            "bandwidth": 0.1,
            "window": 4,
            "from_logits": True,
        },
        knob={"period": 2},
        outcome=_soft_labels,
        reference=_soft_labels_reference,
        bad_arguments=(
            ({"dataset": _X}, TypeError, "dataset"),
            ({"period": 0}, ValueError, "period"),
            ({"method": "kernel"}, ValueError, "method"),
            ({"bandwidth": 0.0}, ValueError, "bandwidth"),
        ),
    ),
    Row(
        kr.functional.ordinal_probabilities,
        "function",
        inputs=lambda: {"cumulative_logits": _ordinal()["y_pred"]},
        arguments={"floor": 0.02},
        knob={"floor": 0.1},
        reference="tests.reweight.functional.test_ordinal_probabilities:reference",
        gradient_of="cumulative_logits",
        invariants=("nonnegative", "permutation_equivariant"),
        jit=True,
        bad_arguments=(({"floor": 0.0}, ValueError, "floor"),),
    ),
    Row(
        kr.losses.OrdinalCrossentropy,
        "loss",
        arguments={"num_classes": 4, "floor": 0.01},
        inputs=_ordinal,
        knob={"floor": 0.1},
        reference="tests.reweight.losses.test_ordinal_crossentropy:reference",
        invariants=("nonnegative", "permutation_equivariant"),
        bad_arguments=(
            ({"num_classes": 1}, ValueError, "num_classes"),
            ({"num_classes": 5}, ValueError, "num_classes"),
            ({"floor": 0.5}, ValueError, "floor"),
        ),
    ),
    Row(
        kr.layers.OrdinalHead,
        "layer",
        arguments={
            "num_classes": 4,
            "penalty": 0.02,
            "penalize_first": False,
            "class_counts": [40, 20, 10, 2],
            "initializer": "glorot_uniform",
        },
        inputs=lambda: {"inputs": tasks.features()},
        knob={"class_counts": [10, 20, 10, 2]},
        reference="tests.reweight.layers.test_ordinal_head:reference",
        bad_arguments=(
            ({"num_classes": 1}, ValueError, "num_classes"),
            ({"penalty": -1.0}, ValueError, "penalty"),
            ({"proximal_rate": 0.0}, ValueError, "proximal_rate"),
            ({"class_counts": [1, 2]}, ValueError, "class_counts"),
            ({"initializer": "nothing"}, ValueError, "initializer"),
        ),
    ),
]
