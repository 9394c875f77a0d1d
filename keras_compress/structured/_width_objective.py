"""What a narrower model is measured by, without labels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops, tree

from keras_reweight.core.batches import batch_length, iterate_batches
from keras_reweight.core.forward import as_model_inputs, make_forward, predictions_of
from keras_reweight.core.layer_calls import gives_probabilities

OBJECTIVES = ("kl", "entropy")
_TINY = 1e-7


def log_probabilities(model: keras.Model, outputs: Any) -> list[Any]:
    """For each output of a model the logarithms of its class probabilities, float32 or wider."""
    probabilities = gives_probabilities(model)
    found = []
    for output in tree.flatten(outputs):
        if keras.backend.standardize_dtype(output.dtype) != "float64":
            output = ops.cast(output, "float32")
        if output.shape[-1] == 1:
            both = [1.0 - output, output] if probabilities else [-output, output]
            output = ops.concatenate(both, axis=-1)
            if not probabilities:
                found.append(ops.log_sigmoid(output))
                continue
        if probabilities:
            found.append(ops.log(ops.clip(output, _TINY, 1.0)))
        else:
            found.append(ops.log_softmax(output, axis=-1))
    return found


def per_sample(values: Any) -> Any:
    """Means over all positions of each sample."""
    return ops.mean(ops.reshape(values, (ops.shape(values)[0], -1)), axis=-1)


def entropies(model: keras.Model, outputs: Any) -> Any:
    """Entropy of each sample's class probabilities, summed over the outputs of the model."""
    logs = log_probabilities(model, outputs)
    return sum(-per_sample(ops.sum(ops.exp(log) * log, axis=-1)) for log in logs)


def sum_over_samples(values: Any, batch: Any) -> Any:
    """The sum of losses `(batch,)`; a scalar is taken for their mean."""
    return ops.sum(values) if len(values.shape) else values * ops.cast(batch, values.dtype)


class WidthObjective:
    """The mean of an objective over validation data; calling it measures the present weights."""

    def __init__(
        self, model: keras.Model, data: Any, objective: str | Callable, argument: str = "data"
    ):
        self.argument = argument
        self.batches = [
            as_model_inputs(model, x) for x, _, _ in iterate_batches(data, argument=argument)
        ]
        if not self.batches:
            raise ValueError(f"`{argument}` holds no samples.")
        self.references: list[Any] = [None] * len(self.batches)
        if objective == "kl":
            forward = make_forward(
                lambda x: log_probabilities(model, predictions_of(model, x)), model.variables
            )
            self.references = [
                [ops.convert_to_numpy(log) for log in forward(x)] for x in self.batches
            ]

        def total(x, references):
            outputs = predictions_of(model, x)
            if objective == "kl":
                logs = log_probabilities(model, outputs)
                values = sum(
                    per_sample(ops.sum(ops.exp(old) * (old - new), axis=-1))
                    for old, new in zip(references, logs, strict=True)
                )
            elif objective == "entropy":
                values = entropies(model, outputs)
            else:
                values = ops.convert_to_tensor(objective(outputs))
            return sum_over_samples(values, ops.shape(tree.flatten(x)[0])[0])

        self._total = make_forward(total, model.variables)

    def __call__(self) -> float:
        totals = [
            ops.convert_to_numpy(self._total(x, reference))
            for x, reference in zip(self.batches, self.references, strict=True)
        ]
        value = float(np.sum(totals, dtype="float64")) / sum(map(batch_length, self.batches))
        if not np.isfinite(value):
            raise ValueError(f"`objective` gives {value} on `{self.argument}`.")
        return value
