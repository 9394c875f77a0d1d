"""Per-sample squared gradient norms of single layers from what goes in and what comes back.

For a layer with input `a` and gradient `d` at its pre-activation, the gradient of its weights is a
sum of products of the two. Its norm does not need the product: for a dense kernel with `T`
positions per sample `|sum_t a_t d_t^T|^2 = sum_ts <a_t, a_s> <d_t, d_s>`. Where `2 T^2` is more
than the size of the kernel the product itself is smaller (Bu et al. 2022), and is formed for this
one layer.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
from keras import layers, ops


class Rule(NamedTuple):
    """How one layer type is treated.

    Attributes:
        refuse: `layer -> None`, or the reason why this instance has no closed form.
        feature: `(layer, inputs) -> tensor`, what of the input is needed, computed in the forward
            pass.
        terms: `layer -> [(variable, (feature, delta) -> squared norms of shape (batch,))]`.
        pre_activation: Whether `delta` belongs to the input of `layer.activation`.
    """

    refuse: Callable[[Any], str | None]
    feature: Callable[[Any, Any], Any]
    terms: Callable[[Any], list]
    pre_activation: bool = True


def _flat(tensor):
    """`(batch, positions, channels)`, with static sizes where the tensor has them."""
    shape = ops.shape(tensor)
    return ops.reshape(tensor, (shape[0], math.prod(shape[1:-1]), shape[-1]))


def _squares(tensor):
    """Sum of squares per sample."""
    return ops.sum(ops.square(ops.reshape(tensor, (ops.shape(tensor)[0], -1))), axis=1)


def _product_norm(a, d):
    """`|sum_t a_t d_t^T|^2` per sample, for `a` of `(batch, T, I)` and `d` of `(batch, T, O)`."""
    length = a.shape[1]
    if length == 1:
        return _squares(a) * _squares(d)
    if length is None or 2 * length * length <= a.shape[2] * d.shape[2]:
        gram_a = ops.matmul(a, ops.transpose(a, (0, 2, 1)))
        gram_d = ops.matmul(d, ops.transpose(d, (0, 2, 1)))
        return ops.sum(gram_a * gram_d, axis=(1, 2))
    return _squares(ops.matmul(ops.transpose(a, (0, 2, 1)), d))


def _bias_norm(d):
    return _squares(ops.sum(d, axis=1))


def _plain_kernel(layer):
    if layer.quantization_mode is not None:
        return "is quantized"
    if getattr(layer, "lora_enabled", False):
        return "has LoRA weights"
    if layer._remat_mode is not None:
        return "is rematerialized"
    return None


def _kernel_and_bias(layer, to_positions):
    terms = [(layer.kernel, lambda a, d: _product_norm(a, to_positions(d)))]
    if layer.bias is not None:
        terms.append((layer.bias, lambda a, d: _bias_norm(to_positions(d))))
    return terms


DENSE = Rule(
    refuse=_plain_kernel,
    feature=lambda layer, inputs: _flat(inputs),
    terms=lambda layer: _kernel_and_bias(layer, _flat),
)


def _refuse_conv(layer):
    if layer.groups != 1:
        return "is a grouped convolution"
    if max(layer.strides) > 1 and max(layer.dilation_rate) > 1:
        return "has strides and dilation"
    return _plain_kernel(layer)


def _patches(layer, inputs):
    inputs = _channels_last(layer, inputs)
    sizes = [layer.kernel_size, layer.strides, layer.dilation_rate]
    padding = layer.padding
    if padding == "causal":
        left = (layer.kernel_size[0] - 1) * layer.dilation_rate[0]
        inputs, padding = ops.pad(inputs, ((0, 0), (left, 0), (0, 0))), "valid"
    if layer.rank == 1:
        inputs = ops.expand_dims(inputs, 1)
        sizes = [(1, *size) for size in sizes]
    return _flat(
        ops.image.extract_patches(
            inputs,
            size=tuple(sizes[0]),
            strides=tuple(sizes[1]),
            dilation_rate=tuple(sizes[2]),
            padding=padding,
            data_format="channels_last",
        )
    )


def _channels_last(layer, tensor):
    if layer.data_format == "channels_last":
        return tensor
    return ops.moveaxis(tensor, 1, -1)


CONVOLUTION = Rule(
    refuse=_refuse_conv,
    feature=_patches,
    terms=lambda layer: _kernel_and_bias(layer, lambda d: _flat(_channels_last(layer, d))),
)


def _einsum_labels(layer):
    left, output = layer.equation.replace(" ", "").split("->")
    inputs, kernel = left.split(",")
    return inputs, kernel, output


def _refuse_einsum(layer):
    if "." in layer.equation:
        return "has an ellipsis in its equation"
    inputs, kernel, output = _einsum_labels(layer)
    if inputs[0] != output[0] or inputs[0] in kernel:
        return "has no leading batch axis in its equation"
    for label in kernel:
        if (label in inputs) == (label in output):
            return "shares kernel axes between input and output"
    if set(inputs) - set(kernel) != set(output) - set(kernel):
        return "sums over an input axis that the kernel does not have"
    return _plain_kernel(layer)


def _einsum_positions(labels, inner, positions):
    """Bring a tensor to `(batch, positions, inner)`."""
    order = [labels.index(label) for label in labels[0] + positions + inner]

    def arrange(tensor):
        tensor = ops.transpose(tensor, order)
        shape = ops.shape(tensor)
        length = math.prod(shape[1 : 1 + len(positions)])
        size = math.prod(shape[1 + len(positions) :])
        return ops.reshape(tensor, (shape[0], length, size))

    return arrange


def _einsum_parts(layer):
    inputs, kernel, output = _einsum_labels(layer)
    positions = "".join(label for label in inputs[1:] if label in output)
    contracted = "".join(label for label in kernel if label in inputs)
    created = "".join(label for label in kernel if label in output)
    return (
        _einsum_positions(inputs, contracted, positions),
        _einsum_positions(output, created, positions),
    )


def _einsum_terms(layer):
    arrange = _einsum_parts(layer)[1]
    terms = [(layer.kernel, lambda a, d: _product_norm(a, arrange(d)))]
    if layer.bias is not None:
        output = _einsum_labels(layer)[2]
        summed = [i for i, label in enumerate(output) if i and label not in layer.bias_axes]
        terms.append((layer.bias, lambda a, d: _squares(ops.sum(d, axis=summed) if summed else d)))
    return terms


EINSUM_DENSE = Rule(
    refuse=_refuse_einsum,
    feature=lambda layer, inputs: _einsum_parts(layer)[0](inputs),
    terms=_einsum_terms,
)


def _embedding_norm(tokens, d):
    tokens = ops.reshape(tokens, (ops.shape(tokens)[0], -1))
    d = _flat(d)
    gram = ops.matmul(d, ops.transpose(d, (0, 2, 1)))
    # Gradients of one token at several positions add up in one row of the table.
    same = ops.equal(ops.expand_dims(tokens, 2), ops.expand_dims(tokens, 1))
    return ops.sum(ops.where(same, gram, 0.0), axis=(1, 2))


EMBEDDING = Rule(
    refuse=_plain_kernel,
    feature=lambda layer, inputs: ops.cast(inputs, "int32"),
    terms=lambda layer: [(layer.embeddings, _embedding_norm)],
    pre_activation=False,
)


def _scale_and_offset(scale, offset, axes_of):
    """Terms of `scale * feature + offset`, whose parameters lie along some axes."""

    def summed(layer, tensor):
        kept = [axis % len(tensor.shape) for axis in axes_of(layer)]
        axes = [axis for axis in range(1, len(tensor.shape)) if axis not in kept]
        return ops.sum(tensor, axis=axes) if axes else tensor

    def terms(layer):
        found = []
        if getattr(layer, scale, None) is not None:
            found.append((getattr(layer, scale), lambda x, d: _squares(summed(layer, x * d))))
        if offset is not None and getattr(layer, offset, None) is not None:
            found.append((getattr(layer, offset), lambda x, d: _squares(summed(layer, d))))
        return found

    return terms


def _axes(layer):
    return list(layer.axis) if isinstance(layer.axis, (list, tuple)) else [layer.axis]


def _precise(tensor):
    return ops.cast(tensor, keras.backend.result_type(tensor.dtype, "float32"))


def _layer_normalized(layer, inputs):
    inputs = _precise(inputs)
    centered = inputs - ops.mean(inputs, axis=_axes(layer), keepdims=True)
    variance = ops.mean(ops.square(centered), axis=_axes(layer), keepdims=True)
    return centered * ops.rsqrt(variance + layer.epsilon)


def _rms_normalized(layer, inputs):
    inputs = _precise(inputs)
    mean_square = ops.mean(ops.square(inputs), axis=_axes(layer), keepdims=True)
    return inputs * ops.rsqrt(mean_square + layer.epsilon)


def _batch_normalized(layer, inputs):
    inputs = _precise(inputs)
    shape = [1] * len(inputs.shape)
    shape[layer.axis] = inputs.shape[layer.axis]
    mean = ops.reshape(ops.cast(layer.moving_mean, inputs.dtype), shape)
    variance = ops.reshape(ops.cast(layer.moving_variance, inputs.dtype), shape)
    return (inputs - mean) * ops.rsqrt(variance + layer.epsilon)


LAYER_NORMALIZATION = Rule(
    refuse=lambda layer: "uses `rms_scaling`" if layer.rms_scaling else None,
    feature=_layer_normalized,
    terms=_scale_and_offset("gamma", "beta", _axes),
    pre_activation=False,
)

RMS_NORMALIZATION = Rule(
    refuse=lambda layer: None,
    feature=_rms_normalized,
    terms=_scale_and_offset("scale", None, _axes),
    pre_activation=False,
)

BATCH_NORMALIZATION = Rule(
    refuse=lambda layer: None,
    feature=_batch_normalized,
    terms=_scale_and_offset("gamma", "beta", _axes),
    pre_activation=False,
)

# Exact types: a subclass may compute something else.
RULES: dict[type, Rule] = {
    layers.Dense: DENSE,
    layers.Conv1D: CONVOLUTION,
    layers.Conv2D: CONVOLUTION,
    layers.EinsumDense: EINSUM_DENSE,
    layers.Embedding: EMBEDDING,
    layers.LayerNormalization: LAYER_NORMALIZATION,
    layers.RMSNormalization: RMS_NORMALIZATION,
    layers.BatchNormalization: BATCH_NORMALIZATION,
}
