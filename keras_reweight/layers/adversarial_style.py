"""Feature statistics that a layer learns to disturb."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_reweight.core.gradients import grad_scale
from keras_reweight.core.validation import check_choice, check_integer, check_number

FORMATS = ("channels_first", "channels_last")


@keras.saving.register_keras_serializable(package="keras_reweight")
class AdversarialStyle(keras.layers.Layer):
    """Disturbs mean and deviation of every channel in training, as much as it hurts the loss.

    For models that are to work where brightness, contrast, color or texture differ from the
    training data, without any data from there. In training the layer does one of three things with
    the whole batch, drawn at random: nothing; new statistics with a learned spread (AdvStyle); or
    with the spread of the batch (DSU). With `mu` and `s` the mean and the deviation of a channel of
    a sample over its positions,

    `y = (x - mu) / s * (s + n_2 * b) + mu + n_1 * a`, with standard normal `n_1`, `n_2`.

    DSU takes for `a` and `b` the deviations of `mu` and of `s` over the batch. AdvStyle takes one
    number a channel that begins there, at the first batch it is drawn for, and is learned with a
    reversed gradient: the same optimizer that lowers the loss in all other weights raises it in
    these. Put it behind the first convolution and behind the first blocks. In inference it does
    nothing.

    The spread must not outrun the model. The authors take a weight of ten with pretrained networks;
    one that starts from nothing wants one or less.

    Use SGD: Adam divides gradients by their size and so takes `adversarial_weight` out, which
    makes the spread grow by the learning rate every step. Weight decay would pull the spread back
    to where it began; keep the variables `mean_change` and `deviation_change` out of it with
    `optimizer.exclude_from_weight_decay`. Not for tasks in which brightness or contrast tell
    classes apart.

    Args:
        adversarial_weight: Float >= 0, by which the reversed gradient is multiplied. Defaults to
            `1.0`.
        probabilities: Three floats >= 0 that sum to 1: of nothing, AdvStyle, DSU. Defaults to
            `(1/3, 1/3, 1/3)`.
        epsilon: Float > 0, added to variances. Defaults to `1e-6`.
        data_format: `"channels_last"`, `"channels_first"`, or `None` for that of the Keras
            configuration. Defaults to `None`.
        seed: Integer or `None`, seed of the draws. Defaults to `None`.
        **kwargs: Arguments of `keras.layers.Layer`, such as `name`.

    Returns:
        Called with features: float tensor of shape `(batch, positions ..., channels)`, or with the
        channels first, of one or more axes of positions; gives a tensor of that shape.

    Raises:
        TypeError: If a number is none, `probabilities` no list of them or `seed` no integer.
        ValueError: If a number is out of its range, `probabilities` do not sum to 1, or
            `data_format` is unknown; when built, if the inputs have no axis of positions.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(4, 3, activation="relu"),
            kr.layers.AdversarialStyle(seed=0),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(2),
        ]
    )
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    x = np.random.default_rng(0).uniform(size=(16, 8, 8, 1))
    model.fit(x, np.arange(16) % 2, verbose=0)
    ```

    Reference:
        Zhang et al., "Adversarial Style Augmentation for Domain Generalization", 2023, arXiv
        2301.12643; YBZh/AdvStyle. DSU: Li et al., "Uncertainty Modeling for Out-of-Distribution
        Generalization", ICLR 2022, arXiv 2202.03958.

    Deviations:
        The learned spread is the sum of its start, which is not trained, and of a trained change,
        because a layer cannot assign what the optimizer trains. Variances of a single position or
        sample are zero rather than undefined. The three steps a batch for the spread alone of one
        of the official trainers are left out. As in the official code nothing keeps `s + n_2 * b`
        positive.

    Cost:
        Means over positions, two normal numbers a channel and sample, and two trained numbers a
        channel.
    """

    def __init__(
        self,
        adversarial_weight: float = 1.0,
        *,
        probabilities: Sequence[float] = (1 / 3, 1 / 3, 1 / 3),
        epsilon: float = 1e-6,
        data_format: str | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ):
        check_number("adversarial_weight", adversarial_weight, minimum=0.0)
        _check_probabilities(probabilities)
        check_number("epsilon", epsilon, exclusive_minimum=0.0)
        if data_format is not None:
            check_choice("data_format", data_format, FORMATS)
        if seed is not None:
            check_integer("seed", seed)
        super().__init__(**kwargs)
        self.adversarial_weight = adversarial_weight
        self.probabilities = probabilities
        self.epsilon = epsilon
        self.data_format = data_format
        self.seed = seed

    def build(self, input_shape):
        if len(input_shape) < 3:
            raise ValueError(
                f"{self.name}: inputs must have positions beside batch and channels, shape "
                f"(batch, positions ..., channels), got {tuple(input_shape)}."
            )
        shape = [1] * len(input_shape)
        axis = self._channel_axis(len(shape))
        shape[axis] = input_shape[axis]

        def weight(name, shape=tuple(shape), trainable=False):
            return self.add_weight(
                shape=shape,
                initializer="zeros",
                name=name,
                trainable=trainable,
                dtype="float32",
                autocast=False,
            )

        self.mean_change = weight("mean_change", trainable=True)
        self.deviation_change = weight("deviation_change", trainable=True)
        self.mean_start = weight("mean_start")
        self.deviation_start = weight("deviation_start")
        self.started = weight("started", ())
        self.seed_generator = keras.random.SeedGenerator(self.seed)
        self.built = True

    def call(self, inputs, training=False):
        if not training:
            return inputs
        x = ops.cast(inputs, "float32")
        axes = [axis for axis in range(1, len(x.shape)) if axis != self._channel_axis(len(x.shape))]
        mean, deviation = _moments(x, axes, self.epsilon)
        batch_spread = [_moments(values, [0], self.epsilon)[1] for values in (mean, deviation)]
        nothing, adversarial, _ = self.probabilities
        drawn = keras.random.uniform((), seed=self.seed_generator)
        keeps = drawn < nothing
        learns = ops.logical_and(ops.logical_not(keeps), drawn < nothing + adversarial)
        learned = self._learned_spread(batch_spread, learns)
        spread = [ops.where(learns, *pair) for pair in zip(learned, batch_spread, strict=True)]
        shape = (2, *ops.shape(mean))
        noise = keras.random.normal(shape, dtype="float32", seed=self.seed_generator)
        styled = restyle(x, (mean, deviation), spread, noise)
        return ops.where(keeps, inputs, ops.cast(styled, inputs.dtype))

    def _learned_spread(self, batch_spread, learns):
        """`a` and `b`, which begin at the spread of the batch in which they are first used."""
        begins = ops.logical_and(learns, self.started < 0.5)
        found = []
        for start, change, spread in zip(
            (self.mean_start, self.deviation_start),
            (self.mean_change, self.deviation_change),
            batch_spread,
            strict=True,
        ):
            value = ops.where(begins, ops.stop_gradient(spread), ops.convert_to_tensor(start))
            # Not the variable: it may be assigned in place before the gradient is taken.
            start.assign(value)
            found.append(grad_scale(ops.add(value, change), -self.adversarial_weight))
        self.started.assign(ops.where(begins, 1.0, ops.convert_to_tensor(self.started)))
        return found

    def _channel_axis(self, rank):
        chosen = self.data_format or keras.config.image_data_format()
        return 1 if chosen == "channels_first" else rank - 1

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "adversarial_weight": self.adversarial_weight,
            "probabilities": self.probabilities,
            "epsilon": self.epsilon,
            "data_format": self.data_format,
            "seed": self.seed,
        }


def restyle(x, statistics, spread, noise):
    """`x` with the mean and the deviation of its channels moved by noise of a spread."""
    mean, deviation = statistics
    new_mean = mean + noise[0] * spread[0]
    new_deviation = deviation + noise[1] * spread[1]
    return (x - mean) / deviation * new_deviation + new_mean


def _moments(x, axes, epsilon):
    """Mean and `sqrt(variance + epsilon)` over axes that are kept; the variance is unbiased."""
    count = 1
    for axis in axes:
        count = count * ops.shape(x)[axis]
    rest = ops.maximum(ops.cast(count, "float32") - 1.0, 1.0)
    mean = ops.mean(x, axis=axes, keepdims=True)
    squares = ops.sum(ops.square(x - mean), axis=axes, keepdims=True)
    return mean, ops.sqrt(squares / rest + epsilon)


def _check_probabilities(probabilities):
    if not isinstance(probabilities, (list, tuple)):
        raise TypeError(f"`probabilities` must be a list of three numbers, got {probabilities!r}.")
    if len(probabilities) != 3:
        raise ValueError(f"`probabilities` must be three numbers, got {probabilities!r}.")
    for value in probabilities:
        check_number("probabilities", value, minimum=0.0)
    if abs(sum(probabilities) - 1.0) > 1e-6:
        raise ValueError(f"`probabilities` must sum to 1, got {probabilities!r}.")
