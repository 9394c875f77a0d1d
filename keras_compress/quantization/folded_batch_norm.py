"""A convolution or Dense layer that trains together with the normalization after it."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

from keras_compress._weight_wrapper import WeightWrapper
from keras_reweight.core.loss_evaluation import keras_mask
from keras_reweight.core.validation import check_choice

# Layer class -> the variable that makes the output, and its output axes.
_FOLDED: dict[type, tuple[str, tuple[int, ...]]] = {
    layers.Dense: ("kernel", (-1,)),
    layers.Conv1D: ("kernel", (-1,)),
    layers.Conv2D: ("kernel", (-1,)),
    layers.Conv3D: ("kernel", (-1,)),
    layers.Conv1DTranspose: ("kernel", (-2,)),
    layers.Conv2DTranspose: ("kernel", (-2,)),
    layers.Conv3DTranspose: ("kernel", (-2,)),
    layers.DepthwiseConv1D: ("kernel", (-2, -1)),
    layers.DepthwiseConv2D: ("kernel", (-2, -1)),
    layers.SeparableConv1D: ("pointwise_kernel", (-1,)),
    layers.SeparableConv2D: ("pointwise_kernel", (-1,)),
}


@keras.saving.register_keras_serializable(package="keras_compress")
class FoldedBatchNorm(WeightWrapper):
    """A layer and its batch normalization, computed as one kernel and one bias.

    Use it to train a quantized network as it will run: inference has no batch normalization, its
    factor is part of the kernel, so the folded kernel is what must be quantized.
    `fold_batch_norm(model, trainable=True)` puts it into a model, `quantize_aware` quantizes it,
    and `freeze` leaves one plain layer with a bias. With the kernel `w`, bias `b`, moments `m, v`
    of `w x + b`, and the parameters of the normalization,

        kernel = w * gamma / sqrt(v + epsilon),    bias = beta + (b - m) * gamma / sqrt(v + epsilon)

    Inference uses the moving moments. Training computes the moments of the batch with the float
    kernel, updates the moving ones, and then, with `statistics="batch"`, folds with those of the
    batch. `statistics="moving"` folds the kernel with the moving variance, which changes little
    from step to step and so keeps weights from jumping between levels, and multiplies the output by
    `sqrt(moving variance + epsilon) / sqrt(v + epsilon)`. Unquantized, both compute what the layer
    and the normalization compute one after the other. With `batch_norm.trainable = False` training
    uses the moving moments, too; do that for the last epochs.

    Args:
        layer: `Dense`, `Conv1D` to `Conv3D`, a transpose of these, `DepthwiseConv1D`,
            `DepthwiseConv2D`, `SeparableConv1D` or `SeparableConv2D` layer without activation.
        batch_norm: `keras.layers.BatchNormalization` of its output channels.
        statistics: `"moving"` or `"batch"`, see above. Defaults to `"moving"`.
        **kwargs: Arguments of `keras.layers.Layer`. `name` and `trainable` default to those of
            `layer`; `dtype` follows it.

    Returns:
        Called with an input of `layer`: the normalized output.

    Raises:
        TypeError: If `batch_norm` is no `BatchNormalization`.
        ValueError: If `layer` cannot be folded, or `statistics` is unknown.

    Example:

    ```python
    import numpy as np
    import keras
    import keras_compress as kc

    dense = keras.layers.Dense(4, use_bias=False)
    layer = kc.layers.FoldedBatchNorm(dense, keras.layers.BatchNormalization())
    y = layer(np.ones((2, 3), "float32"), training=True)
    ```

    Reference:
        Jacob et al., "Quantization and Training of Neural Networks for Efficient
        Integer-Arithmetic-Only Inference", CVPR 2018, arXiv 1712.05877, section 3.2
        (`statistics="batch"`); Krishnamoorthi, "Quantizing deep convolutional networks for
        efficient inference: A whitepaper", arXiv 1806.08342, section 3.2.2 (`"moving"`).

    Deviations:
        Both papers take exponential moving averages of their own; here they are those of the
        given layer, with its momentum.

    Cost:
        Training runs the layer twice, once for the moments; inference once.
    """

    def __init__(
        self,
        layer: keras.layers.Layer,
        batch_norm: keras.layers.BatchNormalization,
        *,
        statistics: str = "moving",
        **kwargs,
    ):
        if not isinstance(batch_norm, layers.BatchNormalization):
            raise TypeError(f"`batch_norm` must be a BatchNormalization, got {batch_norm!r}.")
        if isinstance(layer, keras.layers.Layer) and (reason := folding_refusal(layer, batch_norm)):
            raise ValueError(f"`layer` ({layer.name!r}) cannot be folded: {reason}.")
        check_choice("statistics", statistics, ["batch", "moving"])
        super().__init__(layer, **kwargs)
        self.batch_norm = batch_norm
        self.statistics = statistics

    def build(self, input_shape):
        if not self.layer.built:
            self.layer.build(input_shape)
        if not self.batch_norm.built:
            self.batch_norm.build(self.layer.compute_output_shape(input_shape))

    @property
    def folded_variable(self) -> keras.Variable:
        """The variable of the inner layer that the normalization is folded into."""
        return getattr(self.layer, _folded(self.layer)[0])

    def finish_kernel(self, kernel):
        """What is done to the folded kernel before it is used: nothing; quantization is."""
        return kernel

    def folded_kernel(self):
        """The kernel of inference: a tensor of the dtype of the variables."""
        return self._fold(self._moving()[1])

    def folded_bias(self):
        """The bias of inference: a tensor of the dtype of the variables, one value per channel."""
        return self._bias(*self._moving())

    def call(self, inputs, training=None):
        moving_mean, moving_variance = self._moving()
        mean, variance = moving_mean, moving_variance
        # A trainable flag of the wrapper reaches the normalization, as that of a model would.
        in_training = bool(training) and self.batch_norm.trainable
        if in_training:
            mean, variance = self._moments(self.run_layer({}, inputs), keras_mask(inputs))
            self._update(mean, variance)
        corrected = in_training and self.statistics == "moving"
        kernel = self.finish_kernel(self._fold(moving_variance if corrected else variance))
        replaced = {id(self.folded_variable): kernel}
        if self.layer.use_bias:
            replaced[id(self.layer.bias)] = ops.zeros_like(ops.convert_to_tensor(self.layer.bias))
        outputs = self.run_layer(replaced, inputs)
        if corrected:
            ratio = ops.sqrt(self._shifted(moving_variance) / self._shifted(variance))
            outputs = outputs * self._per_channel(ratio, outputs)
        return outputs + self._per_channel(self._bias(mean, variance), outputs)

    def replaced_values(self):
        return {}

    def plain_layer(self) -> keras.layers.Layer:
        """A new layer, not built, of the kind of the inner one with a bias."""
        config = {**self.layer.get_config(), "use_bias": True}
        return type(self.layer).from_config(config)

    def _moving(self):
        norm = self.batch_norm
        return [
            ops.convert_to_tensor(one.value) for one in (norm.moving_mean, norm.moving_variance)
        ]

    def _moments(self, outputs, mask):
        outputs = ops.cast(outputs, self.variable_dtype)
        axes = [
            index for index in range(len(outputs.shape)) if index != self._channel_axis(outputs)
        ]
        if mask is None:
            return ops.moments(outputs, axes=axes)
        weights = ops.cast(ops.expand_dims(mask, -1), outputs.dtype)
        weights = ops.broadcast_to(weights, ops.shape(outputs))
        total = ops.sum(weights, axis=axes) + keras.config.epsilon()
        mean = ops.sum(weights * outputs, axis=axes) / total
        return mean, ops.sum(weights * ops.square(outputs - mean), axis=axes) / total

    def _update(self, mean, variance):
        norm = self.batch_norm
        for variable, value in ((norm.moving_mean, mean), (norm.moving_variance, variance)):
            value = ops.cast(ops.stop_gradient(value), variable.dtype)
            variable.assign(variable * norm.momentum + value * (1.0 - norm.momentum))

    def _shifted(self, variance):
        return variance + self.batch_norm.epsilon

    def _factor(self, variance):
        factor = 1.0 / ops.sqrt(self._shifted(variance))
        if self.batch_norm.scale:
            factor = factor * ops.convert_to_tensor(self.batch_norm.gamma.value)
        return factor

    def _fold(self, variance):
        kernel = ops.convert_to_tensor(self.folded_variable.value)
        axes = [axis % len(kernel.shape) for axis in _folded(self.layer)[1]]
        shape = [size if axis in axes else 1 for axis, size in enumerate(kernel.shape)]
        return kernel * ops.cast(ops.reshape(self._factor(variance), shape), kernel.dtype)

    def _bias(self, mean, variance):
        bias = -mean
        if self.layer.use_bias:
            bias = bias + ops.convert_to_tensor(self.layer.bias.value)
        bias = bias * self._factor(variance)
        if self.batch_norm.center:
            bias = bias + ops.convert_to_tensor(self.batch_norm.beta.value)
        return bias

    def _channel_axis(self, outputs):
        return self.batch_norm.axis % len(outputs.shape)

    def _per_channel(self, values, outputs):
        shape = [1] * len(outputs.shape)
        shape[self._channel_axis(outputs)] = -1
        return ops.cast(ops.reshape(values, shape), outputs.dtype)

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "batch_norm": keras.saving.serialize_keras_object(self.batch_norm),
            "statistics": self.statistics,
        }

    @classmethod
    def from_config(cls, config: dict, custom_objects: dict | None = None):
        config = dict(config)
        for name in ("layer", "batch_norm"):
            if isinstance(config.get(name), dict):
                config[name] = keras.saving.deserialize_keras_object(
                    config[name], custom_objects=custom_objects
                )
        return cls(**config)


def folding_refusal(layer: Any, batch_norm: keras.layers.BatchNormalization) -> str | None:
    """Why the normalization cannot be folded into `layer`, or `None` if it can."""
    if _folded(layer) is None:
        return f"{type(layer).__name__} has no kernel to fold into"
    if layer.activation is not keras.activations.linear:
        return "it has an activation before the normalization"
    if layer.activity_regularizer is not None:
        return "it has an activity regularizer before the normalization"
    if getattr(layer, "quantization_mode", None) is not None:
        return f"already quantized by Keras ({layer.quantization_mode})"
    if getattr(layer, "lora_enabled", False):
        return "LoRA is enabled, and its kernel is a sum of several variables"
    if batch_norm.synchronized:
        return "the normalization is synchronized"
    axes = {-1}
    if not isinstance(layer, layers.Dense):
        axes = {1} if layer.data_format == "channels_first" else {-1, layer.rank + 1}
    if batch_norm.axis not in axes:
        return f"the normalization is along axis {batch_norm.axis}, not the output channels"
    return None


def _folded(layer):
    for kind, entry in _FOLDED.items():
        if isinstance(layer, kind):
            return entry
    return None
