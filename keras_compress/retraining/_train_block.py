"""Train one layer or block of a pruned model on the outputs of its dense counterpart."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from keras_reweight.core.batches import iterate_batches
from keras_reweight.core.forward import as_model_inputs, predictions_of
from keras_reweight.core.gradients import make_value_and_grad
from keras_reweight.core.layer_calls import recorded_calls


def train_block(models, pair, data, steps, learning_rate, batch_size) -> tuple[float, float]:
    """Fit the weights of `pair[0]` that are not zero; relative errors before and after."""
    layer = pair[0]
    batches = [
        _tensors(_calls(models[0], pair[0], x)[0], _calls(models[1], pair[1], x)[1])
        for x, _, _ in iterate_batches(data, batch_size)
    ]
    variables = layer.trainable_variables
    if not variables:
        raise ValueError(f"`layers`: layer {layer.path!r} has no trainable weights to fit.")
    masks = [ops.convert_to_tensor(variable) != 0 for variable in variables]
    masks = [mask if len(mask.shape) > 1 else None for mask in masks]

    def loss(x, y):
        return ops.mean(ops.square(ops.cast(layer(x, training=False), "float32") - y))

    step = make_value_and_grad(loss, variables)
    energy = float(np.mean([np.mean(np.square(y)) for _, y in batches])) or 1.0

    def error():
        return float(np.mean([float(step(x, y)[0]) for x, y in batches])) / energy

    before = error()
    optimizer = keras.optimizers.AdamW(
        WarmUpAndDecay(learning_rate, max(1, steps // 10), steps), weight_decay=0.0
    )
    for number in range(steps):
        _, gradients, _ = step(*batches[number % len(batches)])
        optimizer.apply(gradients, variables)
        for variable, mask in zip(variables, masks, strict=True):
            if mask is not None:
                variable.assign(ops.where(mask, ops.convert_to_tensor(variable), 0))
    return before, error()


class WarmUpAndDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Rises linearly to `peak` in `warmup` steps and falls linearly to zero at `steps`."""

    def __init__(self, peak: float, warmup: int, steps: int):
        self.peak, self.warmup, self.steps = peak, warmup, steps

    def __call__(self, step):
        step = ops.cast(step, "float32") + 1.0
        rising = step / self.warmup
        falling = (self.steps + 1.0 - step) / max(self.steps + 1 - self.warmup, 1)
        return self.peak * ops.clip(ops.minimum(rising, falling), 0.0, 1.0)

    def get_config(self):
        return {"peak": self.peak, "warmup": self.warmup, "steps": self.steps}


def _calls(model, layer, x):
    with recorded_calls(layer) as calls:
        predictions_of(model, as_model_inputs(model, x))
    if len(calls) != 1 or not all(ops.is_tensor(value) for value in calls[0]):
        raise ValueError(
            f"`layers`: layer {layer.path!r} must be called once, with one tensor, and give one."
        )
    return calls[0]


def _tensors(inputs, outputs):
    """Host copies; float16 outputs would overflow when squared."""
    outputs = ops.convert_to_numpy(ops.cast(outputs, "float32"))
    return ops.convert_to_numpy(inputs), outputs
