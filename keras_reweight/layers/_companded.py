"""Kernels that are companded: what dense layers and convolutions of this kind share."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_reweight.core.validation import check_boolean, check_number
from keras_reweight.layers._reparametrized import ReparametrizedKernel

#: Largest share of the bound that a weight starts from; the tangent has a pole at the bound.
LARGEST_START = 0.95


class CompandedKernel(ReparametrizedKernel):
    """Base of layers with weights `amplitude * arctan(kernel / width)`."""

    own_arguments = ("amplitude", "width", "learned")

    def __init__(self, *args: Any, amplitude: float, width: float, learned: bool, **kwargs: Any):
        check_number("amplitude", amplitude, exclusive_minimum=0.0)
        check_number("width", width, exclusive_minimum=0.0)
        check_boolean("learned", learned)
        super().__init__(*args, **kwargs)
        self.amplitude = amplitude
        self.width = width
        self.learned = learned
        self.raw_amplitude = None
        self.raw_width = None

    def build(self, input_shape):
        given = self.kernel_initializer
        # What is asked for are the weights the layer computes with.
        self.kernel_initializer = _expanding(given, self.amplitude, self.width)
        try:
            super().build(input_shape)
        finally:
            self.kernel_initializer = given
        if self.learned:
            self.raw_amplitude = self._positive("raw_amplitude", self.amplitude)
            self.raw_width = self._positive("raw_width", self.width)

    def _positive(self, name, value):
        return self.add_weight(
            shape=(),
            initializer=keras.initializers.Constant(float(value + np.log(-np.expm1(-value)))),
            name=name,
            autocast=False,
        )

    def companding(self) -> tuple[float, float]:
        """The present amplitude and width."""
        if self.raw_amplitude is None:
            return float(self.amplitude), float(self.width)
        amplitude, width = (ops.convert_to_numpy(value) for value in self._companding())
        return float(amplitude), float(width)

    def _companding(self):
        if self.raw_amplitude is None:
            return self.amplitude, self.width
        return ops.softplus(self.raw_amplitude), ops.softplus(self.raw_width)

    def transform(self, kernel):
        amplitude, width = self._companding()
        free = ops.cast(kernel, self.variable_dtype)
        return ops.cast(amplitude * ops.arctan(free / width), kernel.dtype)

    def set_effective_kernel(self, values: Any) -> None:
        """Set `kernel` so that the layer computes with these weights, of the shape of `kernel`."""
        amplitude, width = self.companding()
        values = np.asarray(values, "float64")
        if values.shape != tuple(self.kernel.shape):
            raise ValueError(
                f"`values` must have shape {tuple(self.kernel.shape)}, got {values.shape}."
            )
        if not (np.abs(values) < amplitude * np.pi / 2).all():
            raise ValueError(
                f"`values` must be smaller than amplitude * pi / 2 = {amplitude * np.pi / 2:.4g} "
                f"in size, got up to {np.abs(values).max():.4g}. Raise `amplitude`."
            )
        self.kernel.assign(width * np.tan(values / amplitude))

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "amplitude": self.amplitude,
            "width": self.width,
            "learned": self.learned,
        }


def _expanding(initializer, amplitude, width):
    """`initializer`, turned into free parameters that are companded to its values."""
    limit = LARGEST_START * np.pi / 2

    def expanded(shape, dtype=None):
        weights = initializer(shape, dtype=dtype)
        return width * ops.tan(ops.clip(weights / amplitude, -limit, limit))

    return expanded
