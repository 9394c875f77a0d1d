"""Teachers and students with fixed weights, and their outputs in NumPy."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

KERNELS = {
    "teacher": np.random.default_rng(1).normal(size=(4, 3)),
    "student": np.random.default_rng(2).normal(size=(4, 3)),
}
X = np.random.default_rng(0).normal(size=(6, 4)).astype("float32")
Y = np.array([0, 2, 1, 1, 0, 2])
WEIGHT = np.array([1.0, 0.0, 2.0, 0.5, 1.5, 0.3], "float32")


def model(which: str) -> keras.Model:
    """A linear model without bias."""
    dense = keras.layers.Dense(3, use_bias=False, name=f"{which}_out")
    made = keras.Sequential([keras.Input((4,), name=f"{which}_in"), dense], name=which)
    dense.kernel.assign(KERNELS[which].astype("float32"))
    return made


def logits(which: str, x=X) -> np.ndarray:
    """What the model gives, in float64."""
    return np.asarray(x, "float64") @ KERNELS[which]


def masked(which: str) -> keras.Model:
    """The same for sequences whose steps of zeros are masked."""
    dense = keras.layers.Dense(3, use_bias=False)
    inputs = keras.Input((None, 4))
    made = keras.Model(inputs, dense(keras.layers.Masking()(inputs)))
    dense.kernel.assign(KERNELS[which].astype("float32"))
    return made


def number(scalar) -> float:
    """A scalar tensor, with or without gradient, as a float."""
    return float(ops.convert_to_numpy(scalar))
