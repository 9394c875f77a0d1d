"""The other forms of a `ReparametrizedAttention`: what it is made of, and what is left of it."""

from __future__ import annotations

from keras import ops

from keras_compress._rebuild import copy_state
from keras_compress.quantization._attention_products import check_convertible, head_product

_BIASES = ("product_bias", "value_bias", "output_bias")


def from_attention(kind, attention, weight, activation):
    """A built layer of class `kind` with the weights of a Keras attention."""
    check_convertible(attention)
    query, key, values, outputs = (
        getattr(attention, f"{name}_dense") for name in ("query", "key", "value", "output")
    )
    layer = kind(
        attention.num_heads,
        attention.key_dim,
        value_dim=attention.value_dim,
        dropout=attention.dropout,
        use_bias=attention.use_bias,
        weight=weight,
        activation=activation,
        name=attention.name,
        dtype=attention.dtype_policy,
        trainable=attention.trainable,
    )
    width, source = query.kernel.shape[0], key.kernel.shape[0]
    layer.build((None, None, width), (None, None, source))
    layer.product_kernel.assign(head_product(query.kernel.value, key.kernel.value))
    _copy(values.kernel, layer.value_kernel)
    _copy(outputs.kernel, layer.output_kernel)
    if attention.use_bias:
        _copy(values.bias, layer.value_bias)
        _copy(outputs.bias, layer.output_bias)
        # Behind the quantizer, if there is one, where it is exact.
        bias = layer.product_bias if activation is None else layer.product_offset
        bias.assign(head_product(query.bias.value[None], key.kernel.value)[0])
    for variable, quantizer in layer.quantized_matrices().values():
        quantizer.initialize_from(variable.value)
    return layer


def plain_attention(layer):
    """A built layer without quantizers that computes with the values on the grid."""
    # What is learned on both sides of the quantizer of the product becomes one bias.
    use_bias = layer.use_bias or layer.activation is not None
    without = {"use_bias": use_bias, "weight": None, "activation": None}
    plain = type(layer).from_config({**layer.get_config(), **without})
    width, _, source = layer.product_kernel.shape
    plain.build((None, None, width), (None, None, source))
    for name in ("product_kernel", "value_kernel", "output_kernel", *_BIASES):
        if getattr(layer, name) is not None:
            _copy(getattr(layer, name), getattr(plain, name))
            getattr(plain, name).trainable = getattr(layer, name).trainable
    for name, values in layer.computed_matrices().items():
        getattr(plain, name).assign(ops.convert_to_numpy(values))
    if layer.product_offset is not None:
        plain.product_bias.assign_add(ops.convert_to_numpy(layer.product_offset.value))
    copy_state(layer.dropout_layer, plain.dropout_layer)
    return plain


def _copy(source, target):
    # Through NumPy: on JAX two variables must not share a buffer.
    target.assign(ops.convert_to_numpy(source.value))
