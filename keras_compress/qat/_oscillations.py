"""Counting how often codes and signs go back and forth."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops


def new_oscillations(target: Any) -> dict[str, np.ndarray]:
    """State of the codes of one matrix before the first step."""
    # Read from the device here, so that a first step after `load_weights` counts one change more
    # at worst, and no oscillation.
    codes = np.array(ops.convert_to_numpy(target.codes(ops.convert_to_tensor(target.variable))))
    return {
        "codes": codes.astype("int16"),
        "direction": np.zeros(codes.shape, "int8"),
        "frequency": np.zeros(codes.shape, "float32"),
    }


def observe_codes(target: Any, codes: Any, momentum: float):
    """Bring the state up to the codes of this step; gives the sign of each change, float32.

    A code oscillates in a step in which it changes opposite to its last change.
    """
    change = ops.sign(ops.cast(codes - ops.cast(target.value("codes"), "int32"), "float32"))
    direction = ops.cast(target.value("direction"), "float32")
    event = ops.cast(change * direction < 0, "float32")
    frequency = ops.copy(target.value("frequency"))
    target.state["frequency"].assign(frequency + momentum * (event - frequency))
    target.state["direction"].assign(ops.cast(ops.where(change != 0, change, direction), "int8"))
    target.state["codes"].assign(ops.cast(codes, "int16"))
    return change


def sign_flips(target: Any, gradient: Any):
    """Where a gradient has another sign than the one before, as float32; keeps the new signs."""
    sign = ops.sign(ops.cast(gradient, "float32"))
    flips = ops.cast(sign * ops.cast(target.value("sign"), "float32") < 0, "float32")
    target.state["sign"].assign(ops.cast(sign, "int8"))
    return flips
