"""A convolution whose weights are bounded and kept away from zero."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from keras_reweight.core.validation import check_integer
from keras_reweight.layers._companded import CompandedKernel
from keras_reweight.layers._reparametrized import ReparametrizedConv


@keras.saving.register_keras_serializable(package="keras_reweight")
class CompandedConv2D(CompandedKernel, ReparametrizedConv, keras.layers.Conv2D):
    """A `Conv2D` layer with companded weights: `amplitude * arctan(kernel / width)`.

    The convolution to `CompandedDense`, with the same function, arguments and methods: no weight is
    larger than `amplitude * pi / 2`, and weights are pushed away from zero where
    `amplitude > width`. A fresh layer behaves as a fresh `Conv2D`. `effective_kernel()` are the
    weights, `set_effective_kernel` takes those of a trained layer, `fold()` gives the plain one.

    Args:
        filters: Integer >= 1, number of output channels.
        kernel_size: Integer or two, size of the kernel.
        amplitude: Float > 0, or its start if it is learned. Defaults to `1.0`.
        width: Float > 0, or its start if it is learned. Defaults to `1.0`.
        learned: Boolean, whether `amplitude` and `width` are trained. Defaults to `True`.
        **kwargs: Arguments of `keras.layers.Conv2D`.

    Returns:
        Called with floats of shape `(batch, rows, columns, channels)`: what `Conv2D` gives with
        `effective_kernel()`.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If an argument is out of its range, or Keras refuses it.

    Example:

    ```python
    import keras_reweight as kr

    layer = kr.layers.CompandedConv2D(4, 3, amplitude=0.5, padding="same", activation="relu")
    layer.build((None, 8, 8, 3))
    plain = layer.fold()
    ```

    Reference:
        Cakaj, Mehnert and Yang, "Weight Compander: A Simple Weight Reparameterization for
        Regularization", IJCNN 2023, arXiv 2306.16993.

    Deviations:
        As for `CompandedDense`.

    Cost:
        One arctangent per weight and step; none after `fold`.
    """

    plain_class = keras.layers.Conv2D

    def __init__(
        self,
        filters: int,
        kernel_size: int | Sequence[int],
        *,
        amplitude: float = 1.0,
        width: float = 1.0,
        learned: bool = True,
        **kwargs: Any,
    ):
        check_integer("filters", filters, minimum=1)
        for size in kernel_size if isinstance(kernel_size, (list, tuple)) else [kernel_size]:
            check_integer("kernel_size", size, minimum=1)
        super().__init__(
            filters, kernel_size, amplitude=amplitude, width=width, learned=learned, **kwargs
        )
