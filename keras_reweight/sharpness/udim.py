"""Flat minima that stay flat on shifted inputs."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_reweight.core.aux_targets import split_targets
from keras_reweight.core.forward import predictions_of
from keras_reweight.core.gradients._loss_terms import terms
from keras_reweight.core.gradients.input_step import input_step
from keras_reweight.core.labels import labels_like
from keras_reweight.core.layer_calls import (
    last_weighted_layer,
    one_layer,
    output_layer,
    recorded_calls,
)
from keras_reweight.core.validation import check_integer, check_number
from keras_reweight.functional.gradient_variance_gap import gradient_variance_gap
from keras_reweight.sharpness._global_norm import SMALLEST
from keras_reweight.sharpness.sharpness_aware import SharpnessAware
from keras_reweight.sharpness.sharpness_rule import SharpnessRule

_SOFTMAX = (
    keras.losses.categorical_crossentropy,
    keras.losses.sparse_categorical_crossentropy,
)


@keras.saving.register_keras_serializable(package="keras_reweight")
class UDIM(SharpnessAware):
    """Wraps a classifier and trains it to meet shifted inputs as it meets those of the batch.

    For domain generalization: test data whose inputs are shifted in a way that training does not
    show. To the gradient of the rule comes `weight` times that of the penalty
    `kr.functional.gradient_variance_gap` between the batch and shifted copies of it,
    `x + step * g / |g|` with `g` the gradient of the sample's own loss by its input. Shifted inputs
    are found, and the penalty computed, in inference mode: statistics of normalization never see
    them. Weights of samples count in the loss alone.

    Args:
        model: A built classifier of one float input, `keras.Model`, that ends in a Dense layer, or
            in one and a softmax.
        rule: `SharpnessRule`. Defaults to `None`, `SAM()`.
        layer: String, name or path of that Dense layer. Defaults to `None`: the last layer with
            weights.
        weight: Float >= 0 of the penalty. Defaults to `1.0`.
        step: Float > 0, length of the shift of a sample, in units of the inputs. Defaults to `1.0`.
        start_epoch: Integer >= 0, the first epoch with the penalty; the paper starts from a trained
            model. Defaults to `0`.
        name: String. Defaults to `"udim"`.
        **kwargs: Arguments of `keras.Model`.

    Returns:
        A `keras.Model` for `compile` and `fit`; `model` is the trained model afterwards.

    Raises:
        TypeError: If `model` is no model, `rule` no `SharpnessRule`, a number none, or (in `fit`)
            the input is not one float tensor.
        ValueError: If `model` is not built or ends in something else, an argument is out of range,
            or (in `fit`) the loss is no categorical cross-entropy.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    x, y = np.random.default_rng(0).normal(size=(32, 4)).astype("float32"), np.arange(32) % 2
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    trainer = kr.sharpness.UDIM(model, kr.sharpness.SAM(0.1), step=0.5)
    trainer.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    trainer.fit(x, y, verbose=0)
    ```

    Reference:
        Shin et al., "Unknown Domain Inconsistency Minimization for Domain Generalization", ICLR
        2024; constants and losses as in its code.

    Deviations:
        A light form. The code adds the gradient's norm to the loss that inputs are shifted up
        (a second derivative), and normalizes shifts over the batch where per sample was meant.

    Cost:
        Beside the two passes of the rule, a forward and backward pass by the inputs and one over
        the batch and its shifted copy.
    """

    knows_epochs = True

    def __init__(
        self,
        model: keras.Model,
        rule: SharpnessRule | None = None,
        *,
        layer: str | None = None,
        weight: float = 1.0,
        step: float = 1.0,
        start_epoch: int = 0,
        name: str = "udim",
        **kwargs: Any,
    ):
        if layer is not None and not isinstance(layer, str):
            raise TypeError(f"`layer` must be the name of a layer or None, got {layer!r}.")
        check_number("weight", weight, minimum=0.0)
        check_number("step", step, exclusive_minimum=0.0)
        check_integer("start_epoch", start_epoch, minimum=0)
        super().__init__(model, rule, name=name, **kwargs)
        self.layer = layer
        self.weight = weight
        self.step = step
        self.start_epoch = start_epoch
        self._classifier()

    def _classifier(self):
        """The last Dense layer."""
        model = self.model
        found = last_weighted_layer(model) if self.layer is None else one_layer(model, self.layer)
        last = output_layer(model)
        ends_in_it = last is None or last is found or _is_softmax(last)
        if not isinstance(found, keras.layers.Dense) or not (
            ends_in_it and _activation(found) in ("linear", "softmax")
        ):
            raise ValueError(
                "`layer`: model must end in a Dense layer, or in one and a softmax; found "
                f"{found.path!r} of type {type(found).__name__} in model {model.name!r}."
            )
        return found

    def adjusted(self, gradients, x, y):
        y, _ = split_targets(y)
        if not ops.is_tensor(x) or not keras.backend.is_float_dtype(
            keras.backend.standardize_dtype(x.dtype)
        ):
            raise TypeError(f"UDIM shifts one float input, got {x!r:.60}.")
        count = ops.shape(x)[0]

        def losses(x):
            return self.losses_of(y, predictions_of(self.model, x)), ()

        _, _, slopes = input_step(losses, x)
        squares = ops.square(ops.cast(slopes, "float32"))
        axes = tuple(range(1, len(x.shape)))
        lengths = ops.sqrt(ops.sum(squares, axis=axes, keepdims=True))
        shifted = x + slopes * ops.cast(self.step / (lengths + SMALLEST), slopes.dtype)

        def penalty(x, y):
            features, errors = self._features_and_errors(x, y)
            here, there = [[part[:count], part[count:]] for part in (features, errors)]
            return gradient_variance_gap(here[0], there[0], here[1], there[1])

        both = [ops.concatenate(pair, axis=0) for pair in ((x, shifted), (y, y))]
        _, slopes, _ = self.step_function(penalty).value_and_grad(*both)
        factor = self.weight * ops.cast(ops.copy(self.epoch) >= self.start_epoch, "float32")
        return [
            gradient + ops.cast(factor, gradient.dtype) * slope
            for gradient, slope in zip(gradients, slopes, strict=True)
        ]

    def _features_and_errors(self, x, y):
        """Inputs of the last layer, and the gradients of the samples' losses by its outputs."""
        layer = self._classifier()
        with recorded_calls(layer) as calls:
            y_pred = predictions_of(self.model, x)
        if len(calls) != 1 or len(calls[0][0].shape) != 2:
            raise ValueError(
                f"`layer`: {layer.path!r} must be called once on features of shape (batch, "
                f"features), got inputs of shapes {[tuple(one[0].shape) for one in calls]}."
            )
        outputs = ops.cast(calls[0][1], "float32")
        if _activation(layer) == "linear":
            outputs = ops.softmax(outputs, axis=-1)
        labels = labels_like(y, outputs)
        smoothing = self._smoothing(y, y_pred)
        labels = (1.0 - smoothing) * labels + smoothing / outputs.shape[-1]
        return ops.cast(calls[0][0], "float32"), outputs - labels

    def _smoothing(self, y, y_pred):
        """Label smoothing of the compiled loss, which must be a categorical cross-entropy."""
        found = terms(self.batch_objective(training=False).spec, y, y_pred, None)
        loss = found[0].loss
        if len(found) != 1 or getattr(loss, "fn", None) not in _SOFTMAX:
            raise ValueError(
                "UDIM needs one (sparse) categorical cross-entropy as the compiled loss, got "
                f"{[term.loss.name for term in found]}."
            )
        return loss.get_config().get("label_smoothing", 0.0)

    def get_config(self) -> dict:
        own = ("layer", "weight", "step", "start_epoch")
        return {**super().get_config(), **{key: getattr(self, key) for key in own}}


def _activation(layer):
    activation = getattr(layer, "activation", None)
    names = {keras.activations.linear: "linear", keras.activations.softmax: "softmax"}
    return names.get(activation)


def _is_softmax(layer):
    return isinstance(layer, keras.layers.Softmax) or (
        isinstance(layer, keras.layers.Activation) and _activation(layer) == "softmax"
    )
