"""Fusion of modalities that trains each as much as it deserves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_reweight.core.gradients.grad_scale import grad_scale
from keras_reweight.core.validation import check_choice, check_integer, check_number

MODES = ("concat", "sum")
_GLOROT = "glorot_uniform"
# Inside the logarithm of an entropy, and below every sum that is divided by.
_TINY = 1e-16


@keras.saving.register_keras_serializable(package="keras_reweight")
class ARLFusion(keras.layers.Layer):
    """Classifies features of several modalities together and alone, and balances their encoders.

    Experimental. One linear head gives the logits of all features, and of each modality `m` by
    itself (`z_m`, the others zero). In every training step from `start_step` on, the gradient that
    enters the encoder of `m` is multiplied by `1 + k_m`:

    - dependence `d_m`: `sum_c mean_batch |z_m|`, as a share of that of all modalities;
    - reliability `q_m`: the inverse of the mean entropy of `softmax(z_m)`, taken as a share of that
      of all modalities and raised to at least `clip`; these inverses again as shares;
    - `k = softmax(temperature * q_m (1 - d_m))`: more for what is certain and little used.

    The head itself gets its gradients unscaled. Train all outputs: the paper weighs the losses of
    the single modalities by 3 to 5.

    Use it for encoders that learn at different speed, where one modality keeps another from being
    learned. Where we measured, on digits with a noisy half, the losses of the single modalities
    brought the gain and the coefficients none. Not where a modality is bad for good: fusion then
    loses to the other one alone, with or without this layer.

    Args:
        units: Integer >= 1, number of classes.
        mode: `"concat"`, one kernel for all features and one bias, or `"sum"`, the sum of a dense
            layer for each modality. Defaults to `"concat"`.
        temperature: Float > 0. Defaults to `8.0`.
        clip: Float in (0, 1], the least share of the entropy; for more than two modalities rather
            `0.6` divided by their number. Defaults to `0.3`.
        start_step: Integer >= 0, training steps without scaling at the start, or `None` for never.
            Defaults to `0`.
        **kwargs: `name` and `dtype` of `keras.layers.Layer`.

    Returns:
        Called with a list of float tensors of shape `(batch, features)`, one a modality: a list of
        float tensors of shape `(batch, units)`, the logits of all together and then of each. The
        weight `coefficients`, float32 of shape `(modalities,)`, holds the `k` of the last training
        step, zeros before `start_step`.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If a number is out of its range, or the inputs are not at least two matrices.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    inputs = [keras.Input((4,)), keras.Input((6,))]
    features = [keras.layers.Dense(8, "relu")(one) for one in inputs]
    both, first, second = kr.layers.ARLFusion(3, start_step=100)(features)
    model = keras.Model(inputs, {"both": both, "first": first, "second": second})
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss=dict.fromkeys(("both", "first", "second"), loss),
                  loss_weights={"both": 1.0, "first": 4.0, "second": 4.0})
    y = np.arange(8) % 3
    model.fit([np.ones((8, 4)), np.ones((8, 6))], {"both": y, "first": y, "second": y}, verbose=0)
    ```

    Reference:
        Wei, Luo and Luo, "Improving Multimodal Learning via Imbalanced Learning", ICCV 2025, arXiv
        2507.10203; repository shicaiwei123/ICCV2025-ARL.

    Deviations:
        `q_m (1 - d_m)` equals the official code for two modalities and is our reading for more. The
        code starts after some epochs, and raises the weights of the single losses at that time;
        here `loss_weights` are those of `compile`. One version of the code prints `k` but scales
        all gradients by 1.5.

    Cost:
        The head runs twice.
    """

    def __init__(
        self,
        units: int,
        *,
        mode: str = "concat",
        temperature: float = 8.0,
        clip: float = 0.3,
        start_step: int | None = 0,
        **kwargs: Any,
    ):
        check_integer("units", units, minimum=1)
        check_choice("mode", mode, MODES)
        check_number("temperature", temperature, exclusive_minimum=0.0)
        check_number("clip", clip, exclusive_minimum=0.0, maximum=1.0)
        if start_step is not None:
            check_integer("start_step", start_step, minimum=0)
        super().__init__(**kwargs)
        self.units = units
        self.mode = mode
        self.temperature = temperature
        self.clip = clip
        self.start_step = start_step

    def build(self, input_shape):
        sizes = _sizes(input_shape)
        if self.mode == "concat":
            # One initialization for all: the fan of the concatenated features.
            self.kernels = [
                self.add_weight(shape=(sum(sizes), self.units), name="kernel", initializer=_GLOROT)
            ]
            biases = 1
        else:
            self.kernels = [
                self.add_weight(shape=(size, self.units), name=f"kernel_{i}", initializer=_GLOROT)
                for i, size in enumerate(sizes)
            ]
            biases = len(sizes)
        self.biases = [
            self.add_weight(shape=(self.units,), name=f"bias_{i}", initializer="zeros")
            for i in range(biases)
        ]
        state = {"initializer": "zeros", "trainable": False, "autocast": False}
        self.coefficients = self.add_weight(
            shape=(len(sizes),), name="coefficients", dtype="float32", **state
        )
        self.steps = self.add_weight(shape=(), name="steps", dtype="int32", **state)
        self.built = True

    def call(self, inputs, training=None):
        if training and self.start_step is not None:
            single = self._logits([ops.stop_gradient(one) for one in inputs])[1:]
            started = ops.cast(self.steps >= self.start_step, "float32")
            coefficients = started * _coefficients(single, self.temperature, self.clip)
            self.coefficients.assign(coefficients)
            self.steps.assign(self.steps + 1)
            inputs = [grad_scale(one, 1.0 + coefficients[m]) for m, one in enumerate(inputs)]
        return self._logits(inputs)

    def _logits(self, inputs):
        """Of all modalities together, then of each."""
        if self.mode == "sum":
            heads = zip(inputs, self.kernels, self.biases, strict=True)
            single = [ops.matmul(one, kernel) + bias for one, kernel, bias in heads]
            return [sum(single), *single]
        places, kernel, bias = [0], self.kernels[0], self.biases[0]
        for one in inputs:
            places.append(places[-1] + one.shape[-1])
        parts = [
            ops.matmul(one, kernel[begin:end])
            for one, begin, end in zip(inputs, places[:-1], places[1:], strict=True)
        ]
        return [sum(parts) + bias, *[part + bias for part in parts]]

    def compute_output_shape(self, input_shape):
        return [(input_shape[0][0], self.units)] * (len(_sizes(input_shape)) + 1)

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "units": self.units,
            "mode": self.mode,
            "temperature": self.temperature,
            "clip": self.clip,
            "start_step": self.start_step,
        }


def _coefficients(logits: Sequence[Any], temperature: float, clip: float) -> Any:
    """`k` from the logits of each modality alone, float32 of shape `(modalities,)`."""
    logits = [ops.cast(one, "float32") for one in logits]
    size = ops.stack([ops.sum(ops.mean(ops.abs(one), axis=0)) for one in logits])
    probabilities = [ops.softmax(one) for one in logits]
    entropy = ops.stack(
        [ops.mean(ops.sum(-p * ops.log(p + _TINY), axis=-1)) for p in probabilities]
    )
    dependence = size / ops.maximum(ops.sum(size), _TINY)
    inverse = 1.0 / ops.maximum(entropy / ops.maximum(ops.sum(entropy), _TINY), clip)
    reliability = inverse / ops.sum(inverse)
    return ops.stop_gradient(ops.softmax(temperature * reliability * (1.0 - dependence)))


def _sizes(shapes):
    several = isinstance(shapes, (list, tuple)) and len(shapes) > 1
    if not several or any(not isinstance(s, (list, tuple)) or len(s) != 2 for s in shapes):
        raise ValueError(
            "`inputs` must be a list of at least two tensors of shape (batch, features), got "
            f"shapes {shapes!r}."
        )
    return [int(shape[-1]) for shape in shapes]
