"""Channels that each sample switches on and off for itself."""

from __future__ import annotations

import inspect
from typing import Any

import keras
from keras import ops

from keras_compress.dynamic.channel_targets import KINDS, channel_targets
from keras_reweight.core.validation import check_choice, check_number

_MODES = ("decoupled", "joint")
#: Of the running share of active channels.
_MOMENTUM = 0.9


@keras.saving.register_keras_serializable(package="keras_compress")
class DynamicChannelGate(keras.layers.Wrapper):
    """A layer whose output channels are switched on and off for each sample.

    Wrap a convolution with its normalization and activation (as a `keras.Sequential`), or any layer
    with channels on its last axis. A small head sees the input of the layer, averaged over all
    positions, and predicts which output channels will be strong for this sample; the others are
    set to zero. It learns from the layer itself: the targets are the channels that really fire
    (`channel_targets` of the largest magnitude of each channel), the loss is the binary
    cross-entropy, summed over channels, averaged over the batch, times `weight`, and added with
    `add_loss`. Through the gates the task reaches the head as well, straight through their step.

    Dense kernels compute all channels before they are switched off, so nothing gets faster: the
    saving is for hardware and kernels that skip channels, and `dynamic_macs` counts it. For real
    speed today remove channels for good (`prune_structured`).

    Let the head settle in the second half of the training: `set_gate_weight(model, 0.0)`.

    Args:
        layer: Layer to wrap, built or not; its output has rank 2 or more and channels last.
        share: Float in `(0, 1]`: what to keep, see `channel_targets`. Defaults to `0.9`.
        kind: `"mass"`, for a number of channels that depends on the sample, or `"uniform"`.
            Defaults to `"mass"`.
        mode: `"decoupled"`: the head does not change what comes before it; `"joint"`: its gradients
            go on into the input. Defaults to `"decoupled"`.
        weight: Float >= 0, weight of the loss of the head. Defaults to `1.0`; with several gates
            take `1 / number of gates` for the mean of the paper.
        **kwargs: Arguments of `keras.layers.Layer`. `name` and `dtype` default to those of the
            wrapped layer.

    Returns:
        Called with an input of the wrapped layer: its output with channels switched off. The weight
        `active_fraction` is the running share of active channels in training.

    Raises:
        TypeError: If `layer` is no layer or a number is none.
        ValueError: If an argument is outside its range or unknown; when built, if the output of
            `layer` is no tensor with channels.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_compress as kc

    conv = keras.layers.Conv2D(8, 3, activation="relu")
    model = keras.Sequential([
        keras.Input((8, 8, 3)),
        kc.layers.DynamicChannelGate(conv, share=0.7),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(2),
    ])
    model.compile("adam", "mse")
    x = np.random.default_rng(0).normal(size=(4, 8, 8, 3)).astype("float32")
    model.fit(x, np.zeros((4, 2)), verbose=0)
    ```

    Reference:
        Elkerdawy et al., "Fire Together Wire Together: A Dynamic Pruning Approach with
        Self-Supervised Mask Prediction", CVPR 2022, arXiv 2110.08232; official code
        github.com/selkerdawy/FTWT.

    Deviations:
        The most likely channel is on even if no channel is likely, so that no sample loses a whole
        layer. The head sees a global average, where the official code may use a coarse grid.

    Cost:
        `inputs * channels` more weights and multiplications a sample.
    """

    def __init__(
        self,
        layer: keras.layers.Layer,
        *,
        share: float = 0.9,
        kind: str = "mass",
        mode: str = "decoupled",
        weight: float = 1.0,
        **kwargs: Any,
    ):
        check_number("share", share, exclusive_minimum=0.0, maximum=1.0)
        check_choice("kind", kind, KINDS)
        check_choice("mode", mode, _MODES)
        check_number("weight", weight, minimum=0.0)
        if not isinstance(layer, keras.layers.Layer):
            raise TypeError(f"`layer` must be a keras.layers.Layer, got {layer!r}.")
        kwargs.setdefault("name", layer.name)
        kwargs.setdefault("dtype", layer.dtype_policy)
        super().__init__(layer, **kwargs)
        self.share = share
        self.kind = kind
        self.mode = mode
        self.weight = weight
        self.supports_masking = True
        # If set, called with the gates of each call, `(batch, channels)`; for eager calls.
        self.observer = None
        self._takes_training = "training" in inspect.signature(layer.call).parameters

    def build(self, input_shape):
        if not self.layer.built:
            self.layer.build(input_shape)
        output_shape = self.layer.compute_output_shape(input_shape)
        sizes = output_shape if isinstance(output_shape, tuple) else ()
        if len(sizes) < 2 or not isinstance(sizes[-1], int):
            raise ValueError(
                f"`layer` ({self.layer.name!r}) must give one tensor with channels on its last "
                f"axis, its output has the shape {output_shape}."
            )
        self.head = keras.layers.Dense(output_shape[-1], name="head", dtype=self.dtype_policy)
        self.head.build((None, input_shape[-1]))
        self.loss_weight = self._scalar("loss_weight", self.weight)
        self.active_fraction = self._scalar("active_fraction", 1.0)

    def _scalar(self, name, value):
        return self.add_weight(
            name=name,
            shape=(),
            initializer=keras.initializers.Constant(value),
            trainable=False,
            dtype="float32",
            autocast=False,
        )

    def call(self, inputs, training=None, mask=None):
        arguments = {"training": training} if self._takes_training and training is not None else {}
        outputs = self.layer(inputs, **arguments)
        logits = self.channel_logits(inputs, mask)
        gates = _gates(logits)
        if self.observer is not None:
            self.observer(gates)
        if training:
            heat = _over_positions(ops.max, ops.abs(outputs), self.compute_mask(inputs, mask))
            heat = ops.stop_gradient(ops.cast(heat, "float32"))
            self._learn(logits, channel_targets(heat, self.share, kind=self.kind))
            self._count(gates)
        shape = (-1, *[1] * (len(outputs.shape) - 2), outputs.shape[-1])
        return outputs * ops.cast(ops.reshape(gates, shape), outputs.dtype)

    def channel_logits(self, inputs, mask=None):
        """Float32 logits of shape `(batch, channels)`: above zero is on, and so is the largest."""
        pooled = ops.cast(_over_positions(ops.mean, inputs, mask), "float32")
        if self.mode == "decoupled":
            pooled = ops.stop_gradient(pooled)
        return ops.cast(self.head(ops.softmax(pooled, axis=-1)), "float32")

    def _learn(self, logits, targets):
        # Stable for logits of any size.
        entropy = ops.relu(logits) - logits * targets + ops.softplus(-ops.abs(logits))
        weight = ops.convert_to_tensor(self.loss_weight)
        self.add_loss(weight * ops.mean(ops.sum(entropy, axis=-1)))

    def _count(self, gates):
        running = ops.convert_to_tensor(self.active_fraction)
        now = ops.stop_gradient(ops.mean(gates))
        self.active_fraction.assign(_MOMENTUM * running + (1.0 - _MOMENTUM) * now)

    def compute_output_shape(self, input_shape):
        return self.layer.compute_output_shape(input_shape)

    def compute_mask(self, inputs, mask=None):
        # A layer that destroys masks warns about it itself.
        return self.layer.compute_mask(inputs, mask) if self.layer.supports_masking else None

    def get_config(self):
        return {
            **super().get_config(),
            "share": self.share,
            "kind": self.kind,
            "mode": self.mode,
            "weight": self.weight,
        }


def _gates(logits):
    """On or off, exactly 1 or 0, with the slope of the sigmoid."""
    likeliest = logits == ops.max(logits, axis=-1, keepdims=True)
    step = ops.cast(ops.logical_or(logits > 0, likeliest), "float32")
    soft = ops.sigmoid(logits)
    return step + (soft - ops.stop_gradient(soft))


def _over_positions(reduce, values, mask):
    """Mean or maximum over all axes but the first and last, without positions masked out."""
    axes = tuple(range(1, len(values.shape) - 1))
    if not axes:
        return values
    if mask is None or tuple(mask.shape[1:]) != tuple(values.shape[1:-1]):
        return reduce(values, axis=axes)
    kept = ops.expand_dims(ops.cast(mask, values.dtype), -1)
    values = ops.where(kept > 0, values, 0)
    if reduce is ops.max:
        return ops.max(values, axis=axes)
    return ops.sum(values, axis=axes) / ops.maximum(ops.sum(kept, axis=axes), 1)
