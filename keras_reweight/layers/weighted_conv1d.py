"""A convolution over one axis whose kernel is multiplied by a density."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from keras_reweight.layers._weighted_conv import WeightedConv


@keras.saving.register_keras_serializable(package="keras_reweight")
class WeightedConv1D(WeightedConv, keras.layers.Conv1D):
    """A `Conv1D` that weights its taps by their distance from the middle.

    `WeightedConv2D` for sequences and signals: the profile `(d_1, ..., d_m, 1, d_m, ..., d_1)`
    multiplies the kernel along its only axis; works with `padding="causal"`, too. `kernel` is the
    free parameter, `effective_kernel()` what the layer computes with, and `fold()` gives the plain
    layer with the same outputs.

    Args:
        filters: Integer >= 1, number of output channels.
        kernel_size: Odd integer, or a tuple of one.
        density: List of `kernel_size // 2` floats > 0, from the border inwards; the middle is one.
            Defaults to `(0.7,)`, for a kernel of size 3.
        trainable_density: Boolean, whether `density` is the start of a weight (`density_weights`)
            instead of a constant. Defaults to `False`.
        **kwargs: Arguments of `keras.layers.Conv1D`. `kernel_initializer` defaults to normal
            values of variance `2 / fan_out`.

    Returns:
        Called with floats of shape `(batch, steps, channels)`: what `Conv1D` gives with
        `effective_kernel()`. `spatial_density()` is a float tensor of shape `kernel_size`.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If `kernel_size` is even or not the same on all axes, `density` has another
            number of entries or one that is not positive, or Keras refuses an argument.

    Example:

    ```python
    import keras
    import keras_reweight as kr

    layer = kr.layers.WeightedConv1D(4, 5, density=(0.2, 0.8), activation="relu")
    layer.build((None, 8, 3))
    plain = layer.fold()
    assert type(plain) is keras.layers.Conv1D
    ```

    Reference:
        Cammarasana and Patanè, "Optimal Weighted Convolution for Classification and Denosing",
        arXiv 2505.24558, 2025.

    Deviations:
        The authors start a trained density from constants that are written into their code; here
        it starts from `density`. They train it with a learning rate a hundred times that of the
        kernel; here the optimizer of the model trains it.

    Cost:
        One product per number of the kernel and step; none after `fold`.
    """

    axes = 1
    plain_class = keras.layers.Conv1D

    def __init__(
        self,
        filters: int,
        kernel_size: int | Sequence[int],
        *,
        density: Sequence[float] = (0.7,),
        trainable_density: bool = False,
        **kwargs: Any,
    ):
        super().__init__(
            filters,
            kernel_size,
            density=density,
            trainable_density=trainable_density,
            **kwargs,
        )
