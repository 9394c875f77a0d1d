"""Convolutions with a spatial density: what those of one, two and three axes share."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_reweight.core.validation import check_boolean, check_integer, check_number
from keras_reweight.layers._reparametrized import ReparametrizedConv


class WeightedConv(ReparametrizedConv):
    """Base of convolutions whose kernel is multiplied by a density; `axes` is their rank."""

    axes: int
    own_arguments = ("density", "trainable_density")

    def __init__(
        self,
        filters: int,
        kernel_size: int | Sequence[int],
        *,
        density: Sequence[float] = (0.7,),
        trainable_density: bool = False,
        **kwargs: Any,
    ):
        check_integer("filters", filters, minimum=1)
        check_boolean("trainable_density", trainable_density)
        _check_density(density, _checked_size(kernel_size, self.axes))
        # Variance 2 / (outputs of a position), as the authors start from.
        kwargs.setdefault(
            "kernel_initializer",
            keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal"),
        )
        super().__init__(filters, kernel_size, **kwargs)
        self.density = density
        self.trainable_density = trainable_density
        self.density_weights = None

    def build(self, input_shape):
        super().build(input_shape)
        if self.trainable_density and len(self.density):
            self.density_weights = self.add_weight(
                shape=(len(self.density),),
                initializer=_constant(self.density),
                name="density",
                # Small numbers that are added up over many steps; the product is rounded once.
                autocast=False,
            )

    def spatial_density(self) -> Any:
        """The factors of the kernel by position, a float tensor of shape `kernel_size`."""
        half = self.density_weights
        if half is None:
            half = np.array(self.density, self.variable_dtype)
        half = ops.convert_to_tensor(half)
        profile = ops.concatenate([half, ops.ones((1,), half.dtype), ops.flip(half)])
        density = ops.ones((1,) * self.axes, half.dtype)
        for axis in range(self.axes):
            shape = [1] * self.axes
            shape[axis] = -1
            density = density * ops.reshape(profile, shape)
        return density

    def transform(self, kernel):
        density = self.spatial_density()
        density = ops.reshape(density, (*density.shape, 1, 1))
        return kernel * ops.cast(density, kernel.dtype)

    def get_config(self) -> dict:
        density = self.density
        return {
            **super().get_config(),
            "density": density if isinstance(density, tuple) else list(density),
            "trainable_density": self.trainable_density,
        }


def _constant(values):
    def initializer(shape, dtype=None):
        return ops.convert_to_tensor(np.array(values, "float64"), dtype=dtype)

    return initializer


def _checked_size(kernel_size, axes):
    """The one size of all axes."""
    sizes = kernel_size
    if isinstance(kernel_size, numbers.Integral) and not isinstance(kernel_size, bool):
        sizes = [kernel_size] * axes
    if not isinstance(sizes, (list, tuple)):
        raise TypeError(
            f"`kernel_size` must be an integer or {axes} equal ones, got {kernel_size!r} of type "
            f"{type(kernel_size).__name__}."
        )
    for size in sizes:
        check_integer("kernel_size", size, minimum=1)
    if len(sizes) != axes or len(set(sizes)) != 1 or sizes[0] % 2 == 0:
        raise ValueError(
            f"`kernel_size` must be an odd number or {axes} equal ones, got {kernel_size!r}: the "
            "density is symmetric around one position in the middle."
        )
    return int(sizes[0])


def _check_density(density, size):
    if not isinstance(density, (list, tuple)):
        raise TypeError(
            f"`density` must be a list or tuple of numbers, got {density!r} of type "
            f"{type(density).__name__}."
        )
    for value in density:
        check_number("density", value, exclusive_minimum=0.0)
    if len(density) != size // 2:
        raise ValueError(
            f"`density` must have {size // 2} numbers for a kernel of size {size}, from the border "
            f"inwards without the one in the middle, got {density!r}."
        )
