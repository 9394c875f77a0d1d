"""The step of a grid as a variable that is trained."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_compress.quantizers.quantizer import SMALLEST_SCALE
from keras_reweight.core.rounding.backend import rounding


def learned_scale(variable: keras.Variable, dtype: str, factor: Any = 1.0) -> Any:
    """The absolute value of `variable`, not too small to divide by; gradient times `factor`."""
    value = ops.convert_to_tensor(variable)
    fixed = ops.stop_gradient(value)
    positive = ops.maximum(ops.abs(fixed), SMALLEST_SCALE)
    # The floor does not stop the gradient, or a step that fell below it could not recover.
    slope = ops.sign(fixed) * ops.convert_to_tensor(factor, fixed.dtype)
    return ops.cast(rounding().with_slope(positive, value, slope), dtype)


def step_factor(values_per_scale: Any, largest_code: int) -> float | np.ndarray:
    """The factor by which LSQ scales the gradient of a step."""
    factor = 1.0 / np.sqrt(values_per_scale * largest_code)
    return float(factor) if not np.ndim(factor) else factor.astype("float32")
