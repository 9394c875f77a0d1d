"""Gradients and Hessian products of the loss of softened predictions."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops, tree
from keras.src.backend import get_keras_mask, set_keras_mask

from keras_reweight.core.gradients._arguments import Arguments, check_arguments
from keras_reweight.core.gradients._cache import cached
from keras_reweight.core.gradients._objective import Objective
from keras_reweight.core.gradients.hessian_vector_product import resolve_method
from keras_reweight.core.gradients.make_hessian_vector_product import make_hessian_vector_product
from keras_reweight.core.gradients.make_value_and_grad import make_value_and_grad
from keras_reweight.core.layer_calls import output_layer

# Keeps the logarithm of a saturated probability finite in float32.
_TINY = 1e-30


class TemperedObjective(Objective):
    """The loss of the model with all its logits divided by `temperature`.

    Where the model is known to end in a softmax or sigmoid, its logits are what goes into that;
    every other output is taken for a logit.
    """

    def __init__(self, model: keras.Model, spec: Any, *, training: bool, temperature: float):
        super().__init__(model, spec, training=training)
        self.temperature = temperature

    def predictions(self, x: Any) -> Any:
        softened = _softening(self.model)
        return tree.map_structure(
            lambda output: _keep_mask(softened(output, self.temperature), output),
            super().predictions(x),
        )


def tempered_gradient(
    model: keras.Model, x: Any, y: Any, *, temperature: float, **options: Any
) -> list:
    """Gradient of the batch loss of softened predictions; `options` as for `value_and_grad`."""
    arguments = check_arguments("tempered_gradient", model, x, y, **options)

    def build():
        objective = _objective(arguments, temperature)
        return make_value_and_grad(objective.batch, arguments.variables, others=arguments.others)

    key = ("tempered_gradient", temperature, arguments.key())
    return cached(model, key, arguments.spec, build)(*arguments.data)[1]


def tempered_hessian_product(
    model: keras.Model, x: Any, y: Any, vector: Any, *, temperature: float, **options: Any
) -> list:
    """Hessian of the same loss times a vector."""
    arguments = check_arguments("tempered_hessian_product", model, x, y, **options)
    method = resolve_method(model, arguments.training)

    def build():
        return make_hessian_vector_product(
            _objective(arguments, temperature).batch,
            arguments.variables,
            others=arguments.others,
            method=method,
        )

    key = ("tempered_hessian_product", temperature, method, arguments.key())
    return cached(model, key, arguments.spec, build)(vector, *arguments.data)


def _objective(arguments: Arguments, temperature: float) -> TemperedObjective:
    return TemperedObjective(
        arguments.model, arguments.spec, training=arguments.training, temperature=temperature
    )


def _softening(model):
    last = output_layer(model)
    activation = getattr(last, "activation", None)
    if isinstance(last, keras.layers.Softmax) or activation is keras.activations.softmax:
        axis = getattr(last, "axis", -1)
        return lambda p, temperature: ops.softmax(_log(p) / temperature, axis=axis)
    if activation is keras.activations.sigmoid:
        return lambda p, temperature: ops.sigmoid((_log(p) - _log(1.0 - p)) / temperature)
    return lambda logits, temperature: logits / temperature


def _log(probability):
    return ops.log(ops.maximum(probability, _TINY))


def _keep_mask(tensor, original):
    mask = get_keras_mask(original)
    if mask is not None:
        set_keras_mask(tensor, mask)
    return tensor
