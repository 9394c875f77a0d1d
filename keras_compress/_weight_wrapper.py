"""Layers that run another layer with other values for some of its weights."""

from __future__ import annotations

import inspect
from typing import Any

import keras

from keras_reweight.core.layer_losses import take_losses


class WeightWrapper(keras.layers.Wrapper):
    """Base of wrappers that compute with values made from the weights of the layer they hold.

    Subclasses define `replaced_values()` and a `call(inputs, training=None)` that ends in
    `call_layer`. The signature of `call` has no `mask`: Keras would store it in the graph of a
    functional model, where a plain layer does not expect it. The inner layer finds the mask on its
    input.
    """

    def __init__(self, layer: keras.layers.Layer, **kwargs):
        if isinstance(layer, keras.layers.Layer):
            kwargs.setdefault("name", layer.name)
            kwargs.setdefault("trainable", layer.trainable)
            # The wrapper reads float32 master weights; casting to a compute dtype is left to the
            # inner layer. A mixed policy here would hand out weights already rounded to 16 bits.
            kwargs["dtype"] = layer.variable_dtype
        super().__init__(layer, autocast=False, **kwargs)

    def replaced_values(self) -> dict[int, Any]:
        """`id` of a variable of the inner layer -> the tensor to compute with instead."""
        raise NotImplementedError(f"{type(self).__name__} must define replaced_values().")

    def call_layer(self, inputs, training=None):
        """What the inner layer returns with the replaced values."""
        return self.run_layer(self.replaced_values(), inputs, **self._arguments(training))

    def run_layer(self, replaced: dict[int, Any], *args, **kwargs):
        """`layer(*args, **kwargs)` with other values, by `id`, for some of its variables."""
        # Those of the wrapper, too: inside the scope the others have the values of outside.
        variables = self.variables
        values = [replaced.get(id(variable), variable.value) for variable in variables]
        # The inner layer is called as a whole and not with `stateless_call`, which would pass over
        # its casting, masking and activity regularizer and would evaluate the weight regularizers
        # on the replaced values.
        state = list(zip(variables, values, strict=True))
        with keras.StatelessScope(state, collect_losses=True) as scope:
            before = [scope.get_current_value(variable) for variable in variables]
            outputs = self.layer(*args, **kwargs)
            losses = take_losses(self.layer, scope)
            after = [scope.get_current_value(variable) for variable in variables]
        for variable, old, new in zip(variables, before, after, strict=True):
            if new is not old:
                variable.assign(new)
        for loss in losses:
            self.add_loss(loss)
        return outputs

    def _arguments(self, training):
        takes_training = "training" in inspect.signature(self.layer.call).parameters
        return {"training": training} if takes_training and training is not None else {}

    def compute_output_spec(self, inputs, training=None):
        return self.layer.compute_output_spec(inputs, **self._arguments(training))

    def compute_output_shape(self, input_shape):
        return self.layer.compute_output_shape(input_shape)

    def compute_mask(self, inputs, previous_mask):
        # A layer that destroys masks warns about it itself.
        if not self.layer.supports_masking:
            return None
        return self.layer.compute_mask(inputs, previous_mask)

    def get_config(self) -> dict:
        config = super().get_config()
        config.pop("dtype")
        return config
