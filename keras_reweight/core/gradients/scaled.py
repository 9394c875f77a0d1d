"""Gradient of the loss of predictions times a factor, with respect to weights and the factor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops, tree
from keras.src.backend import get_keras_mask, set_keras_mask

from keras_reweight.core.gradients._arguments import check_arguments
from keras_reweight.core.gradients._objective import Objective
from keras_reweight.core.gradients.make_value_and_grad import make_value_and_grad


class ScaledObjective(Objective):
    """The loss of the model in inference mode with all its outputs times a variable."""

    def __init__(self, model: keras.Model, spec: Any, factor: keras.Variable):
        super().__init__(model, spec, training=False)
        self.factor = factor

    def predictions(self, x: Any) -> Any:
        return tree.map_structure(self._scaled, super().predictions(x))

    def _scaled(self, output):
        scaled = output * ops.cast(ops.convert_to_tensor(self.factor), output.dtype)
        mask = get_keras_mask(output)
        if mask is not None:
            set_keras_mask(scaled, mask)
        return scaled


def make_scaled_gradient(
    model: keras.Model, variables: Sequence[keras.Variable], factor: keras.Variable, loss: Any
) -> Callable:
    """`(x, y, sample_weight) -> (loss, gradients of the variables and of the factor)`.

    Built once for all batches; the values of the variables are those at the time of a call.
    """
    chosen = [*variables, factor]
    known = {id(variable) for variable in chosen}
    others = [variable for variable in model.variables if id(variable) not in known]
    built: list[Callable] = []

    def gradient(x, y, sample_weight=None):
        arguments = check_arguments(
            "learned_soup", model, x, y, loss=loss, sample_weight=sample_weight
        )
        if not built:
            objective = ScaledObjective(model, arguments.spec, factor)
            built.append(make_value_and_grad(objective.batch, chosen, others=others))
        value, gradients, _ = built[0](*arguments.data)
        return value, gradients

    return gradient
