"""Kronecker factors of layers: second moments of what goes in and of the gradients that come back.

A layer that multiplies rows `a` of its input by a kernel `K` of shape `(in, out)` has at `z = a K`
the gradient `g`. `A = E[a a^T]` and `G = E[g g^T]` over samples and positions approximate the
curvature of the loss by the kernel as the Kronecker product of the two.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_reweight.core.gradients._backend import active_backend
from keras_reweight.core.gradients._closed_form import _float, _replaced
from keras_reweight.core.gradients._closed_form_rules import (
    CONVOLUTION,
    DENSE,
    EINSUM_DENSE,
    RULES,
    _channels_last,
    _einsum_labels,
    _einsum_parts,
    _flat,
)
from keras_reweight.core.gradients._function import BuiltFunction, PureFunction
from keras_reweight.core.gradients._scope import keras_mask
from keras_reweight.core.observed_inputs import steps_inside

_KINDS = (DENSE, CONVOLUTION, EINSUM_DENSE)


def kronecker_refusal(model: keras.Model) -> Callable[[keras.layers.Layer], str | None]:
    """`layer -> None` where the layer has Kronecker factors, or the reason why not."""
    inside = steps_inside(model)

    def refusal(layer):
        rule = RULES.get(type(layer))
        if not any(rule is kind for kind in _KINDS):
            return f"{type(layer).__name__} has no Kronecker factors"
        if id(layer) in inside:
            return f"called step by step by {inside[id(layer)]!r}"
        return rule.refuse(layer)

    return refusal


def make_kronecker_sums(
    fn: Callable, layers: Sequence[keras.layers.Layer], others: Sequence[keras.Variable] = ()
) -> Callable:
    """`(weights, *args) -> [(sum of w a a^T, sum of w g g^T, sum of w)]`, one a layer.

    `fn(*args)` returns losses that are summed; `weights` are float, of shape `(batch,)` or
    `(batch, positions)`. The sums run over samples, positions and calls of a layer; positions that
    the Keras mask of its input leaves out do not count.

    Raises:
        ValueError: At the call, if a layer is not called or has other positions than `weights`.
    """
    pure = PureFunction(fn, [], others)

    def traced(values, other_values, weights, *args):
        def watched(tap):
            inputs: dict[str, tuple[Any, Any]] = {}
            with contextlib.ExitStack() as stack:
                for number, layer in enumerate(layers):
                    call = _watched_call(layer, number, tap, inputs)
                    stack.enter_context(_replaced(layer, "call", call))
                result, _ = pure(values, other_values, *args)
            return ops.sum(result), inputs

        inputs, gradients = active_backend().tap_gradients(watched)
        totals = []
        for number, layer in enumerate(layers):
            sums = [
                _sums(layer, rows, mask, gradients[name], weights)
                for name, (rows, mask) in inputs.items()
                if name.startswith(f"{number}:")
            ]
            if not sums:
                raise ValueError(f"`layers`: {layer.path!r} is not called by the model.")
            totals.append(tuple(sum(parts) for parts in zip(*sums, strict=True)))
        return totals

    return BuiltFunction(pure, traced)


def kernel_matrix(layer: keras.layers.Layer, kernel: np.ndarray) -> np.ndarray:
    """The kernel as `(in, out)`, in the order of the Kronecker factors."""
    if RULES[type(layer)] is EINSUM_DENSE:
        order, contracted = _einsum_order(layer)
        rows = math.prod(kernel.shape[axis] for axis in order[:contracted])
        return kernel.transpose(order).reshape(rows, -1)
    return kernel.reshape(-1, kernel.shape[-1])


def kernel_from_matrix(layer: keras.layers.Layer, matrix: np.ndarray) -> np.ndarray:
    """The way back."""
    shape = tuple(layer.kernel.shape)
    if RULES[type(layer)] is EINSUM_DENSE:
        order, _ = _einsum_order(layer)
        return matrix.reshape([shape[axis] for axis in order]).transpose(np.argsort(order))
    return matrix.reshape(shape)


def _einsum_order(layer):
    """Axes of the kernel, those that are summed over first, and how many those are."""
    inputs, kernel, _ = _einsum_labels(layer)
    contracted = [axis for axis, label in enumerate(kernel) if label in inputs]
    created = [axis for axis, label in enumerate(kernel) if label not in inputs]
    return contracted + created, len(contracted)


def _watched_call(layer, number, tap, inputs_seen):
    original, activation = layer.call, layer.activation

    def call(inputs, *args, **kwargs):
        name = f"{number}:{sum(key.startswith(f'{number}:') for key in inputs_seen)}"
        inputs_seen[name] = (RULES[type(layer)].feature(layer, inputs), keras_mask(inputs))

        def tapped(outputs):
            outputs = tap(name, outputs)
            return outputs if activation is None else activation(outputs)

        with _replaced(layer, "activation", tapped):
            return original(inputs, *args, **kwargs)

    return call


def _sums(layer, rows, mask, gradient, weights):
    rows, gradient = _float(rows), _float(_positions(layer, gradient))
    weights = _position_weights(layer, rows, mask, ops.cast(weights, rows.dtype))
    return _moments(rows, weights), _moments(gradient, weights), ops.sum(weights)


def _positions(layer, gradient):
    """`(batch, positions, out)`."""
    rule = RULES[type(layer)]
    if rule is EINSUM_DENSE:
        return _einsum_parts(layer)[1](gradient)
    return _flat(_channels_last(layer, gradient) if rule is CONVOLUTION else gradient)


def _position_weights(layer, rows, mask, weights):
    length = rows.shape[1]
    if len(weights.shape) == 2 and weights.shape[1] != 1:
        if None not in (length, weights.shape[1]) and length != weights.shape[1]:
            raise ValueError(
                f"`sample_weight` has {weights.shape[1]} positions a sample, but layer "
                f"{layer.path!r} works on {length}. Weight whole samples, or leave the layer out."
            )
    else:
        weights = ops.reshape(weights, (-1, 1)) * ops.ones_like(rows[:, :, 0])
    if mask is not None and len(mask.shape) == 2 and mask.shape[1] == length:
        weights = weights * ops.cast(mask, weights.dtype)
    return weights


def _moments(rows, weights):
    rows = ops.reshape(rows, (-1, rows.shape[-1]))
    return ops.matmul(ops.transpose(rows * ops.reshape(weights, (-1, 1))), rows)
