"""The forward pass of a model as a compiled function that writes nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import keras

from keras_reweight.core.gradients._arguments import _standardize
from keras_reweight.core.gradients._backend import active_backend
from keras_reweight.core.gradients._function import BuiltFunction, PureFunction
from keras_reweight.core.gradients._scope import keep_losses


def make_forward(fn: Callable, others: Sequence[keras.Variable] = ()) -> Callable:
    """`fn(*args)` compiled, without gradients and without a trace in what it reads.

    Unlike `model.predict` it works inside a running `fit`, adds nothing to the model, and may
    reduce the predictions to what is wanted before they leave the device.

    Args:
        fn: Function of nested structures of arrays that reads Keras variables.
        others: The variables it reads; those left out are found at the price of tracing twice.

    Returns:
        A callable `(*args) -> result` of tensors.
    """
    pure = PureFunction(fn, [], others)
    built = BuiltFunction(pure, lambda values, other, *args: pure(values, other, *args)[0])

    def forward(*args):
        with active_backend().no_recording():
            return built(*args)

    return forward


def predictions_of(model: keras.Model, x: Any) -> Any:
    """What the model predicts in inference mode, the losses of its layers left as they are."""
    with keep_losses(model):
        return model(x, training=False)


def outputs_of(layer: keras.layers.Layer, args: tuple, kwargs: dict[str, Any]) -> Any:
    """What one layer gives for these arguments, the losses inside it left as they are."""
    with keep_losses(layer):
        return layer(*args, **kwargs)


def without_gradients() -> contextlib.AbstractContextManager:
    """Inside, eager computations are not recorded for gradients that nobody will ask for."""
    return active_backend().no_recording()


def as_model_inputs(model: keras.Model, structure: Any) -> Any:
    """Arrays as the model computes with them: no float64 that it did not ask for."""
    return _standardize(model, structure)
