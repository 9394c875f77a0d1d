"""Looking at, and changing, what single layers compute inside a forward pass."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
from keras import ops

from keras_reweight.core.gradients._backend import active_backend
from keras_reweight.core.gradients._closed_form import _replaced
from keras_reweight.core.gradients._function import BuiltFunction, PureFunction
from keras_reweight.core.model_kind import is_functional
from keras_reweight.core.selection import leaf_layers, select_layers

_TO_PROBABILITIES = (keras.activations.softmax, keras.activations.sigmoid)


@contextlib.contextmanager
def recorded_calls(layer: keras.layers.Layer) -> Iterator[list[tuple[Any, Any]]]:
    """A list that gets `(inputs, outputs)` of every call of `layer` inside the context."""
    calls: list[tuple[Any, Any]] = []
    original = layer.call

    def call(inputs, *args, **kwargs):
        outputs = original(inputs, *args, **kwargs)
        calls.append((inputs, outputs))
        return outputs

    with _replaced(layer, "call", call):
        yield calls


@contextlib.contextmanager
def recorded_arguments(layer: keras.layers.Layer) -> Iterator[list[tuple[tuple, dict[str, Any]]]]:
    """A list that gets `(args, kwargs)` of every call of `layer` inside the context.

    Masks and `training` are among them, so `outputs_of` repeats the call; what attention gives
    for queries that are masked may differ.
    """
    calls: list[tuple[tuple, dict[str, Any]]] = []
    original = layer.call

    def call(*args, **kwargs):
        calls.append((args, kwargs))
        return original(*args, **kwargs)

    with _replaced(layer, "call", call):
        yield calls


def make_layer_gradient(fn: Callable, layer: keras.layers.Layer) -> Callable:
    """`(*args) -> gradient of sum(fn(*args))` with respect to the output of `layer`.

    `fn` calls the layer once, and nothing is split at the layer: masks and skip connections stay.

    Raises:
        ValueError: At the call, if the layer is called never, more than once, or does not give one
            tensor.
    """
    pure = PureFunction(fn, [])

    def traced(values, other_values, *args):
        def watched(tap):
            original, count = layer.call, []

            def call(*call_args, **kwargs):
                outputs = original(*call_args, **kwargs)
                count.append(outputs)
                if len(count) > 1 or not ops.is_tensor(outputs):
                    raise ValueError(
                        f"`layer`: {layer.path!r} must be called once and give one tensor."
                    )
                return tap("output", outputs)

            with _replaced(layer, "call", call):
                result, _ = pure(values, other_values, *args)
            if not count:
                raise ValueError(f"`layer`: {layer.path!r} is not called by the model.")
            return ops.sum(result), ()

        _, gradients = active_backend().tap_gradients(watched)
        return gradients["output"]

    return BuiltFunction(pure, traced)


def output_layer(model: keras.Model) -> keras.layers.Layer | None:
    """The layer that makes the only output; `None` for subclassed models and several outputs."""
    while isinstance(model, keras.Sequential) or is_functional(model):
        if isinstance(model, keras.Sequential):
            model = model.layers[-1]
        elif len(model.outputs) == 1:
            model = model.outputs[0]._keras_history.operation
        else:
            return None
    is_layer = isinstance(model, keras.layers.Layer) and not isinstance(model, keras.Model)
    return model if is_layer else None


def gives_probabilities(model: keras.Model) -> bool:
    """Whether the last layer is known to end in a softmax or sigmoid."""
    layer = output_layer(model)
    return isinstance(layer, keras.layers.Softmax) or (
        getattr(layer, "activation", None) in _TO_PROBABILITIES
    )


@contextlib.contextmanager
def without_last_activation(model: keras.Model) -> Iterator[None]:
    """Inside, a model that ends in a softmax or sigmoid gives what goes into it.

    Raises:
        ValueError: If the model does not end so.
    """
    layer = output_layer(model)
    if isinstance(layer, keras.layers.Softmax):
        with _replaced(layer, "call", lambda inputs, *args, **kwargs: inputs):
            yield
    elif gives_probabilities(model):
        with _replaced(layer, "activation", keras.activations.linear):
            yield
    else:
        raise ValueError(
            f"`from_logits=False`, but the last layer of model {model.name!r} "
            f"({layer.path if layer is not None else 'not found'!r}) is no softmax or sigmoid that "
            "could be left out. Pass a model that gives logits and `from_logits=True`."
        )


def one_layer(model: keras.Model, layer: Any, argument: str = "layer") -> keras.layers.Layer:
    """The only layer that `layer` (a name, path, layer ...) names.

    Raises:
        ValueError: If it names none or several.
        TypeError: If it is nothing that names layers.
    """
    found = select_layers(model, layer, argument=argument).touched
    if len(found) != 1:
        raise ValueError(
            f"`{argument}`={layer!r} must name one layer, got {[each.path for each in found]}."
        )
    return found[0]


def last_weighted_layer(model: keras.Model) -> keras.layers.Layer:
    """The last leaf layer with trainable variables: the classifier of a classifier.

    Raises:
        ValueError: If there is none.
    """
    found = [layer for layer in leaf_layers(model) if layer.trainable_variables]
    if not found:
        raise ValueError(f"Model {model.name!r} has no layer with trainable variables.")
    last = output_layer(model)
    return last if any(layer is last for layer in found) else found[-1]
