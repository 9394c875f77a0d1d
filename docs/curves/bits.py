"""What plans for the layers of a small network give each layer, and lose together."""

from __future__ import annotations

import keras
import numpy as np

import keras_compress as kc
from docs.curves._picture import Picture

_CHOICES = (2, 3, 4, 5, 6, 8)


def _model():
    """Convolutions with few weights that are used everywhere, dense layers with many."""
    stack = [
        keras.layers.Conv2D(filters, 3, strides=2, padding="same", activation="relu")
        for filters in (8, 16, 32)
    ]
    stack += [keras.layers.Flatten(), keras.layers.Dense(64, activation="relu")]
    model = keras.Sequential([keras.Input((16, 16, 3)), *stack, keras.layers.Dense(10)])
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:
        if variable.name == "kernel":
            shape = tuple(variable.shape)
            scale = np.sqrt(2.0 / np.prod(shape[:-1]))
            variable.assign((scale * rng.standard_t(4.0, size=shape)).astype("float32"))
    model.compile("sgd", "mse")
    return model


def _losses():
    """Loss of each method over the mean bits it was allowed."""
    model = _model()
    x = np.random.default_rng(1).normal(size=(64, 16, 16, 3)).astype("float32")
    data = x, model.predict(x, verbose=0) + 0.1
    measured = kc.bits.layer_importance(model, data, method="measured", bits=_CHOICES)
    fisher = kc.bits.layer_importance(model, data, method="fisher", bits=3)
    budgets = np.arange(2.0, 6.01, 0.25)

    def total(plan):
        return sum(measured[path][bits] for path, bits in plan.items())

    def curve(scores, method, choices=_CHOICES):
        plans = [
            kc.bits.allocate_bits(model, scores, mean_bits=mean, choices=choices, method=method)
            for mean in budgets
        ]
        return budgets, np.log10([total(plan) for plan in plans])

    whole = np.arange(2, 7)
    uniform = np.array([total(dict.fromkeys(measured, int(bits))) for bits in whole])
    return {
        "the same everywhere": (whole.astype("float64"), np.log10(uniform)),
        "split of 2 and 8": curve(fisher, "split", (2, 8)),
        "closed form": curve(fisher, "closed_form"),
        "greedy, fisher": curve(fisher, "greedy"),
        "knapsack, measured": curve(measured, "knapsack"),
    }


PICTURES = {"plans": Picture("mean bits of the weights", "rise of the loss, log10", _losses)}
