"""What quantization-aware training must not change: zeros, and which weights are equal."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_compress.quantization.folded_batch_norm import FoldedBatchNorm
from keras_compress.quantizers.quantizer import Quantizer
from keras_compress.quantizers.straight_through import straight_through

_CHOICES = ("sparsity", "clusters")
_MOST_CLUSTERS = 256


def check_preserve(preserve: Any, quantizers: list[Quantizer], layer: Any = None) -> None:
    """Raise unless `preserve` is known and the weights' `quantizers` can do it."""
    chosen = (preserve,) if isinstance(preserve, str) else preserve or ()
    if not isinstance(chosen, (tuple, list)) or any(one not in _CHOICES for one in chosen):
        raise ValueError(
            "`preserve` must be 'sparsity', 'clusters', a tuple of these or None, got "
            f"{preserve!r}."
        )
    for quantizer in quantizers if "sparsity" in chosen else ():
        if not np.any(quantizer.levels == 0.0):
            raise ValueError(
                f"`preserve`={preserve!r}: {type(quantizer).__name__} has no level at zero. "
                "Use LSQQuantizer."
            )
    if "clusters" in chosen and isinstance(layer, FoldedBatchNorm):
        raise ValueError(
            f"`preserve`={preserve!r}: the folded kernel has a factor for each channel, so equal "
            "weights do not stay equal."
        )


def preserves(preserve: str | tuple[str, ...] | None, what: str) -> bool:
    """Whether `preserve` asks for `what`."""
    return what in ((preserve,) if isinstance(preserve, str) else preserve or ())


def keep_zeros(values: Any, rounded: Any) -> Any:
    """`rounded`, but zero where `values` are, without a gradient there: zeros stay zeros."""
    return ops.where(values == 0, ops.zeros_like(rounded), rounded)


class ClusterAssignment(keras.layers.Layer):
    """Which weights of a matrix belong together.

    A call returns the weights as they are. The gradient of each is the mean over its cluster, so
    an optimizer moves the weights of a cluster alike and they stay equal.
    """

    def __init__(self, **kwargs):
        super().__init__(autocast=False, dtype="float32", **kwargs)

    def build(self, input_shape):
        self.assignment = self.add_weight(
            name="assignment",
            shape=input_shape,
            initializer="zeros",
            dtype="int32",
            trainable=False,
            autocast=False,
        )

    def remember(self, variable: keras.Variable, name: str) -> None:
        """Weights that are equal now are a cluster from now on."""
        values, clusters = np.unique(ops.convert_to_numpy(variable.value), return_inverse=True)
        if len(values) > _MOST_CLUSTERS:
            raise ValueError(
                f"`preserve`: {name} has {len(values)} different values, at most {_MOST_CLUSTERS} "
                "can be preserved as clusters. Cluster the weights first."
            )
        self.assignment.assign(clusters.reshape(variable.shape).astype("int32"))

    def call(self, inputs):
        clusters = ops.reshape(ops.convert_to_tensor(self.assignment.value), (-1,))
        flat = ops.reshape(inputs, (-1,))
        sums = ops.segment_sum(flat, clusters, num_segments=_MOST_CLUSTERS)
        counts = ops.segment_sum(ops.ones_like(flat), clusters, num_segments=_MOST_CLUSTERS)
        means = ops.take(sums / ops.maximum(counts, 1.0), clusters)
        return straight_through(inputs, ops.reshape(means, inputs.shape))
