"""Attention whose query and key kernels are one matrix, quantized as one."""

from __future__ import annotations

import functools
import math
from types import SimpleNamespace
from typing import Any

import keras
from keras import ops

from keras_compress.quantization._attention_forms import from_attention, plain_attention
from keras_compress.quantization._attention_products import initial_product, merged_mask
from keras_compress.quantizers.quantizer import Quantizer
from keras_reweight.core.validation import check_boolean, check_integer, check_number

#: Name of a matrix -> the axes of its output channels.
CHANNELS = {"product_kernel": (1, 2), "value_kernel": (1, 2), "output_kernel": (2,)}


@keras.saving.register_keras_serializable(package="keras_compress")
class ReparametrizedAttention(keras.layers.Layer):
    """Multi-head attention that quantizes the product of query and key kernel as one matrix.

    Use it for training at 2 to 4 bits where query and key kernels, rounded apart, disturb one
    another, and where the model is narrow: a head keeps a matrix of width times width. For each
    head `h`

        M_h = W_query,h @ W_key,h^T,    scores = (q @ M_h) @ k^T / sqrt(key_dim)

    With `weight`, `M_h`, value and output kernel are quantized, a grid for each output channel.
    With `activation`, the inputs (query and value share a scale) and `q @ M_h` are quantized too,
    the latter with a learned bias before and another one after it; call `calibrate` once before
    training. `from_attention` converts a trained `keras.layers.MultiHeadAttention`; without
    quantizers the result computes the same. What looks for `quantized_matrices()`, as the callbacks
    of quantization-aware training do, finds the product as one matrix. `freeze`, `quantized_form`
    and `packed_size` know it: what is left is this layer without quantizers, with the values of the
    product on the grid, as no plain attention has a place for them.

    Not for wide models: from `2 * width * key_dim` weights a head it goes to `width ** 2`.

    Args:
        num_heads: Integer >= 1, number of heads.
        key_dim: Integer >= 1, size of a head of the attention this stands for; it sets the scale
            of the scores and the initial weights.
        value_dim: Integer >= 1, size of a head of the values, or `None` for `key_dim`. Defaults to
            `None`.
        dropout: Float in [0, 1), dropout of the attention weights. Defaults to `0.0`.
        use_bias: Boolean, biases of values, output and (what is left of those of the query)
            products. Defaults to `True`.
        weight: `Quantizer` to copy for each matrix, or `None`. Its default `axis=-1` stands for
            the output channels. Defaults to `None`.
        activation: `Quantizer` to copy for each activation, or `None`. Its default `axis=-1`
            stands for one scale. Defaults to `None`.
        **kwargs: Arguments of `keras.layers.Layer`: `name`, `dtype`, `trainable`.

    Returns:
        Called with `query` and `value` (default: `query`), float tensors of shape
        `(batch, time, width)`, and the masks of `keras.layers.MultiHeadAttention`: a float tensor
        of the shape of `query`.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If an argument is out of its range, `activation` is for weights only, or an
            attention cannot be converted.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_compress as kc

    x = np.random.default_rng(0).normal(size=(2, 5, 8)).astype("float32")
    attention = keras.layers.MultiHeadAttention(num_heads=2, key_dim=4)
    expected = attention(x, x)
    convert = kc.layers.ReparametrizedAttention.from_attention
    difference = keras.ops.convert_to_numpy(convert(attention)(x) - expected)
    assert np.abs(difference).max() < 1e-4
    quantized = convert(attention, weight=kc.quantizers.StatsQuantizer(bits=4))
    assert "product_kernel" in quantized.quantized_matrices()
    ```

    Reference:
        Liu et al., "Oscillation-free Quantization for Low-bit Vision Transformers", ICML 2023,
        arXiv 2302.02210 (query-key reparametrization); official code github nbasyl/OFQ.

    Deviations:
        The official code drops the biases of query and key. That of the key changes nothing, the
        softmax does not see it; what that of the query does is kept as the bias of the product. The
        quantized side of the scores is that of the query, where both learned biases count: behind
        `M_h @ k^T` the second one would not. Activation scales are one for a tensor, there one for
        a position.

    Cost:
        `num_heads * width ** 2` weights for the scores instead of `2 * num_heads * width *
        key_dim`, and as many multiplications for each position.
    """

    def __init__(
        self,
        num_heads: int,
        key_dim: int,
        *,
        value_dim: int | None = None,
        dropout: float = 0.0,
        use_bias: bool = True,
        weight: Quantizer | None = None,
        activation: Quantizer | None = None,
        **kwargs,
    ):
        check_integer("num_heads", num_heads, minimum=1)
        check_integer("key_dim", key_dim, minimum=1)
        if value_dim is not None:
            check_integer("value_dim", value_dim, minimum=1)
        check_number("dropout", dropout, minimum=0.0, exclusive_maximum=1.0)
        check_boolean("use_bias", use_bias)
        _check_quantizer("weight", weight)
        _check_quantizer("activation", activation)
        if activation is not None and not activation.supports_activations:
            raise ValueError(
                f"`activation`: {type(activation).__name__} is for weights only. Use LSQQuantizer."
            )
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.key_dim = key_dim
        self.value_dim = value_dim
        self.dropout = dropout
        self.use_bias = use_bias
        self.supports_masking = True
        self.weight_quantizers: dict[str, Quantizer] = {}
        self.activation_quantizers: dict[str, Quantizer] = {}
        self._observer: Any = None
        # Quantizers given as arguments are only copied from; held here, Keras does not track them.
        self._given = SimpleNamespace(weight=weight, activation=activation)

    @property
    def weight(self) -> Quantizer | None:
        """The quantizer given for the matrices; `weight_quantizers` holds its working copies."""
        return self._given.weight

    @property
    def activation(self) -> Quantizer | None:
        """The quantizer given for activations; `activation_quantizers` has its working copies."""
        return self._given.activation

    @property
    def is_quantized(self) -> bool:
        """Whether anything in here is rounded."""
        return self.weight is not None or self.activation is not None

    def build(self, query_shape, value_shape=None):
        width = int(query_shape[-1])
        source = width if value_shape is None else int(value_shape[-1])
        heads, size = self.num_heads, self.value_dim or self.key_dim
        shapes = {
            "product_kernel": (width, heads, source),
            "value_kernel": (source, heads, size),
            "output_kernel": (heads, size, width),
        }
        for name, shape in shapes.items():
            initializer = "glorot_uniform"
            if name == "product_kernel":
                initializer = functools.partial(initial_product, key_dim=self.key_dim)
            setattr(self, name, self.add_weight(name=name, shape=shape, initializer=initializer))
        zeros = functools.partial(self.add_weight, initializer="zeros")
        quantizes = self.activation is not None
        self.value_bias = self.output_bias = self.product_bias = self.product_offset = None
        if self.use_bias:
            self.value_bias = zeros(name="value_bias", shape=(heads, size))
            self.output_bias = zeros(name="output_bias", shape=(width,))
        if self.use_bias or quantizes:
            self.product_bias = zeros(name="product_bias", shape=(heads, source))
        if quantizes:
            self.product_offset = zeros(name="product_offset", shape=(heads, source))
            self._add_activation_quantizer("input", (None, None, width))
            self._add_activation_quantizer("product", (None, None, heads, source))
        if self.weight is not None:
            for name, channels in CHANNELS.items():
                axis = channels if self.weight.axis == -1 else self.weight.axis
                quantizer = _copy(self.weight, axis, f"{name}_quantizer")
                quantizer.build_from(getattr(self, name))
                self.weight_quantizers[name] = quantizer
        self.dropout_layer = keras.layers.Dropout(self.dropout, dtype=self.dtype_policy)

    def _add_activation_quantizer(self, name, shape):
        axis = None if self.activation.axis == -1 else self.activation.axis
        quantizer = _copy(self.activation, axis, f"{name}_quantizer")
        quantizer.build(shape)
        self.activation_quantizers[name] = quantizer

    def quantized_matrices(self) -> dict[str, tuple[keras.Variable, Quantizer]]:
        """Name -> (master variable, its quantizer) of the quantized weight matrices."""
        return {
            name: (getattr(self, name), quantizer)
            for name, quantizer in self.weight_quantizers.items()
        }

    def float_matrices(self) -> dict[str, Any]:
        """Name -> the tensor that is quantized."""
        return {name: variable.value for name, (variable, _) in self.quantized_matrices().items()}

    def computed_matrices(self) -> dict[str, Any]:
        """Name -> the tensor that inference computes with."""
        return {
            name: self.weight_quantizers[name](value)
            for name, value in self.float_matrices().items()
        }

    def plain_layer(self) -> ReparametrizedAttention:
        """A built layer without quantizers that computes with the values on the grid.

        Activations are left float; the two learned biases of the product become one.
        """
        return plain_attention(self)

    def call(
        self,
        query,
        value=None,
        query_mask=None,
        value_mask=None,
        attention_mask=None,
        training=None,
        use_causal_mask=False,
        mask=None,
    ):
        if value is None:
            # Keras calls the mask of a single tensor by this name.
            query_mask = mask if query_mask is None else query_mask
            value, value_mask = query, query_mask
        source = self._quantized("input", query)
        target = source if value is query else self._quantized("input", value)
        product = ops.einsum("btd,dhk->bthk", source, self._matrix("product_kernel"))
        if self.product_bias is not None:
            product = product + self.product_bias
        product = self._quantized("product", product)
        if self.product_offset is not None:
            product = product + self.product_offset
        scores = ops.einsum("bthk,bsk->bhts", product, target) / math.sqrt(self.key_dim)
        mask = merged_mask(scores, query_mask, value_mask, attention_mask, use_causal_mask)
        if mask is not None:
            lowest = -3e4 if self.compute_dtype == "float16" else -1e9
            scores = ops.where(mask, scores, ops.cast(lowest, scores.dtype))
        probabilities = self.dropout_layer(ops.softmax(scores, axis=-1), training=training)
        values = ops.einsum("bsd,dhv->bshv", target, self._matrix("value_kernel"))
        if self.value_bias is not None:
            values = values + self.value_bias
        mixed = ops.einsum("bhts,bshv->bthv", probabilities, values)
        outputs = ops.einsum("bthv,hvd->btd", mixed, self._matrix("output_kernel"))
        return outputs if self.output_bias is None else outputs + self.output_bias

    def _matrix(self, name):
        variable = getattr(self, name)
        if name not in self.weight_quantizers:
            return ops.convert_to_tensor(variable)
        # From the master weights: the autocast would round them before the grid does.
        return ops.cast(self.weight_quantizers[name](variable.value), self.compute_dtype)

    def _quantized(self, name, x):
        if name == "product" and self._observer is not None:
            self._observer(x)
        return self.activation_quantizers[name](x) if name in self.activation_quantizers else x

    def calibrate(self, query, value=None) -> None:
        """Start the activation scales from one batch of inputs, in an eager call."""
        if self.activation is None:
            raise ValueError(f"{self.name}: `activation` is None, there is nothing to calibrate.")
        if not self.built:
            self.build(query.shape, None if value is None else value.shape)
        inputs, product = (self.activation_quantizers[name] for name in ("input", "product"))
        seen = query
        if value is not None and inputs.axis is None:
            # One scale for both: what they have in common is a row of numbers.
            seen = ops.concatenate([ops.reshape(one, (1, -1, 1)) for one in (query, value)], axis=1)
        inputs.initialize_from(seen)
        self._observer = product.initialize_from
        try:
            self(query, query if value is None else value)
        finally:
            self._observer = None

    def compute_output_shape(self, query_shape, value_shape=None):
        return tuple(query_shape)

    @classmethod
    def from_attention(
        cls,
        attention: keras.layers.MultiHeadAttention,
        *,
        weight: Quantizer | None = None,
        activation: Quantizer | None = None,
    ) -> ReparametrizedAttention:
        """A built layer with the weights of a built attention over inputs of rank three."""
        return from_attention(cls, attention, weight, activation)

    def get_config(self) -> dict:
        config = super().get_config()
        for name in ("num_heads", "key_dim", "value_dim", "dropout", "use_bias"):
            config[name] = getattr(self, name)
        for name in ("weight", "activation"):
            given = getattr(self, name)
            config[name] = None if given is None else keras.saving.serialize_keras_object(given)
        return config

    @classmethod
    def from_config(cls, config: dict, custom_objects: dict | None = None):
        config = dict(config)
        for name in ("weight", "activation"):
            if isinstance(config.get(name), dict):
                config[name] = keras.saving.deserialize_keras_object(
                    config[name], custom_objects=custom_objects
                )
        return cls(**config)


def _check_quantizer(argument, quantizer):
    if quantizer is not None and not isinstance(quantizer, Quantizer):
        raise TypeError(
            f"`{argument}` must be a keras_compress Quantizer or None, got {quantizer!r} of type "
            f"{type(quantizer).__name__}."
        )


def _copy(quantizer, axis, name):
    return type(quantizer).from_config({**quantizer.get_config(), "axis": axis, "name": name})
