"""How much of an all-positive signal passes through each weight of a model."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops, tree

from keras_reweight.core.call_shapes import symbolic_inputs
from keras_reweight.core.gradients._cache import cached
from keras_reweight.core.gradients._closed_form import _replaced
from keras_reweight.core.gradients._scope import keep_losses
from keras_reweight.core.gradients.make_value_and_grad import make_value_and_grad
from keras_reweight.core.state import sync_model

#: Powers of two that the signal is scaled with until float32 holds it.
_EXPONENTS = (0, -60, -100, 60, 100)
_SMALLEST = 2.0**-90
_PASSED_ON = (
    keras.layers.ELU,
    keras.layers.GroupNormalization,
    keras.layers.LayerNormalization,
    keras.layers.LeakyReLU,
    keras.layers.PReLU,
    keras.layers.RMSNormalization,
    keras.layers.ReLU,
    keras.layers.Softmax,
    keras.layers.UnitNormalization,
)
_NOT_LINEAR = (
    keras.layers.AdditiveAttention,
    keras.layers.Attention,
    keras.layers.Embedding,
    keras.layers.GroupQueryAttention,
    keras.layers.MultiHeadAttention,
    keras.layers.RNN,
)


def synaptic_flow(
    model: keras.Model, variables: Sequence[keras.Variable], input_shapes: Any = None
) -> list[np.ndarray]:
    """`w * dR / dw` for `R = sum of outputs` of the model made linear and positive.

    All weights are replaced by their absolute values, the moving means of BatchNormalization by
    zeros, activations and normalizations over features by nothing; the input is one everywhere. The
    model itself is not changed. With such a model `R` is homogeneous in input and additive weights
    together, so a common factor on both changes nothing but the size of the numbers: it is chosen
    such that they neither overflow nor vanish, and taken out in float64.

    Args:
        model: A built `keras.Model`.
        variables: Variables of `model`.
        input_shapes: As `symbolic_inputs` takes it.

    Returns:
        Float64 arrays of the shapes of `variables`, none negative.

    Raises:
        ValueError: If the model takes integers, has recurrent or attention layers or embeddings,
            or the numbers do not fit into its float type.
    """
    for layer in model._flatten_layers(include_self=False):
        if isinstance(layer, _NOT_LINEAR):
            raise ValueError(
                f"Layer {layer.path!r} ({type(layer).__name__}) has no linear form, so the flow "
                "through it is not defined. It is for feed-forward and convolutional models."
            )
    shapes = symbolic_inputs(model, input_shapes)
    for leaf in tree.flatten(shapes):
        if not keras.backend.is_float_dtype(leaf.dtype):
            raise ValueError(f"Model {model.name!r} takes {leaf.dtype}; ones would mean nothing.")
    sync_model(model)
    variables = list(variables)
    chosen = {id(variable) for variable in variables}

    def build():
        others = [variable for variable in model.variables if id(variable) not in chosen]
        return make_value_and_grad(_flow_of(model), variables, others=others)

    sizes = tuple((tuple(leaf.shape), leaf.dtype) for leaf in tree.flatten(shapes))
    key = ("synaptic_flow", tuple(id(variable) for variable in variables), sizes)
    function = cached(model, key, variables, build)
    ones = tree.map_structure(lambda leaf: np.ones(leaf.shape, leaf.dtype), shapes)
    return _scores(function, ones, [_host(variable) for variable in variables], model)


def _scores(function, ones, weights, model):
    found = None
    for exponent in _EXPONENTS:
        factor = 2.0**exponent
        total, gradients, _ = function(ones, np.asarray(factor, "float32"))
        if not np.isfinite(_host(total)):
            continue
        pairs = zip(weights, gradients, strict=True)
        with np.errstate(invalid="ignore"):  # zero times infinity, noticed below
            scores = [np.abs(w * _host(g)) / factor**2 for w, g in pairs]
        if not all(np.isfinite(score).all() for score in scores):
            continue
        found = scores
        if max(score.max(initial=0.0) for score in scores) * factor**2 > _SMALLEST:
            break
    if found is None:
        raise ValueError(
            f"The flow through model {model.name!r} does not fit into {model.compute_dtype}: its "
            "weights are too large, or the model computes in half precision."
        )
    return found


def _flow_of(model):
    def flow(inputs, factor):
        values = [
            (variable, _positive(variable, factor))
            for variable in model.variables
            if keras.backend.is_float_dtype(variable.dtype)
        ]
        inputs = tree.map_structure(lambda leaf: leaf * ops.cast(factor, leaf.dtype), inputs)
        with _linear(model), keep_losses(model), keras.StatelessScope(state_mapping=values):
            outputs = model(inputs, training=False)
        # Once more for the way back: gradients are as large as activations.
        return sum(ops.sum(leaf * ops.cast(factor, leaf.dtype)) for leaf in tree.flatten(outputs))

    return flow


def _positive(variable, factor):
    value = ops.abs(ops.convert_to_tensor(variable))
    if variable.name == "moving_mean":
        # Subtracted, it would make the flow negative.
        return ops.zeros_like(value)
    if variable.name in ("beta", "bias"):
        return value * ops.cast(factor, value.dtype)
    return value


@contextlib.contextmanager
def _linear(model) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for layer in model._flatten_layers(include_self=False):
            if isinstance(layer, _PASSED_ON):
                stack.enter_context(_replaced(layer, "call", _identity))
            elif callable(getattr(layer, "activation", None)):
                stack.enter_context(_replaced(layer, "activation", keras.activations.linear))
        yield


def _identity(inputs, *args, **kwargs):
    return inputs


def _host(tensor):
    value = ops.convert_to_numpy(ops.convert_to_tensor(tensor))
    return np.asarray(value).astype("float64")
