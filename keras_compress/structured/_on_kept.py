"""A layer that sees only some of the channels."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops


class OnKept(keras.layers.Layer):
    """`layer` on the kept positions of an axis, zeros everywhere else."""

    def __init__(self, layer: keras.layers.Layer, axis: int, keep: np.ndarray):
        super().__init__(name=layer.name, dtype=layer.dtype_policy)
        self.layer, self.axis, self.keep = layer, axis, keep

    def call(self, inputs):
        shown = ops.take(inputs, np.flatnonzero(self.keep), axis=self.axis)
        spread = np.eye(self.keep.size)[self.keep]
        outputs = ops.moveaxis(self.layer(shown), self.axis, -1)
        return ops.moveaxis(ops.matmul(outputs, ops.cast(spread, outputs.dtype)), -1, self.axis)

    def compute_output_shape(self, input_shape):
        return input_shape
