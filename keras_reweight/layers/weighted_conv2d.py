"""A convolution over two axes whose kernel is multiplied by a density."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from keras_reweight.layers._weighted_conv import WeightedConv


@keras.saving.register_keras_serializable(package="keras_reweight")
class WeightedConv2D(WeightedConv, keras.layers.Conv2D):
    """A `Conv2D` that weights its taps by their distance from the middle.

    Use it where a plain convolution treats all taps alike at the start and in training, for images
    and fields whose near pixels say more than far ones. With `density=(d_1, ..., d_m)` and a kernel
    of size `2m + 1`, the profile is `p = (d_1, ..., d_m, 1, d_m, ..., d_1)` and the layer computes
    with `kernel * outer(p, p)` for every pair of channels; with `density=(0.7,)` the factors are
    0.49 in the corners, 0.7 beside the middle and 1 in the middle. Densities above one stress the
    border. Good ranges by the authors: 0.5 to 1.5 for size 3; 0.05 to 1 and 0.5 to 1.5 for size 5;
    (0.25, 0.15, 0.55) for size 7.

    A constant density does not change which functions the layer can compute. It scales the start
    of each tap, and its steps by the square of the density (by the density itself with an adaptive
    optimizer), so steep ones slow the border down: compare with a plain convolution before relying
    on a gain. Weight decay and constraints act on the free `kernel`. `fold()`, or `fold_kernels`
    for a whole model, gives the plain layer with the same outputs; do that before pruning or
    quantization.

    Args:
        filters: Integer >= 1, number of output channels.
        kernel_size: Odd integer, or two equal ones.
        density: List of `kernel_size // 2` floats > 0, from the border inwards; the middle is one.
            Defaults to `(0.7,)`, for a kernel of size 3.
        trainable_density: Boolean, whether `density` is the start of a weight (`density_weights`)
            instead of a constant. Defaults to `False`.
        **kwargs: Arguments of `keras.layers.Conv2D`. `kernel_initializer` defaults to normal
            values of variance `2 / fan_out`.

    Returns:
        Called with floats of shape `(batch, rows, columns, channels)`: what `Conv2D` gives with
        `effective_kernel()`. `spatial_density()` is a float tensor of shape `kernel_size`.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If `kernel_size` is even or not the same on all axes, `density` has another
            number of entries or one that is not positive, or Keras refuses an argument.

    Example:

    ```python
    import keras
    import keras_reweight as kr

    layer = kr.layers.WeightedConv2D(4, 5, density=(0.2, 0.8), activation="relu")
    layer.build((None, 8, 8, 3))
    plain = layer.fold()
    assert type(plain) is keras.layers.Conv2D
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

    axes = 2
    plain_class = keras.layers.Conv2D

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
