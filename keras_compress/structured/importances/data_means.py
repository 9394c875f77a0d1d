"""Means over all samples of a data set of what single batches give."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_reweight.core.batches import batch_length, iterate_batches


def mean_over_samples(
    function: Callable, variables: Sequence[keras.Variable], data: Any, batch_size: int
) -> list[np.ndarray]:
    """Mean of `function(x, y, sample_weight)`, one array a variable, float64 on the host.

    `function` gives the mean over the samples of a batch; batches count by their length.
    """
    total = [np.zeros(variable.shape) for variable in variables]
    count = 0
    for x, y, sample_weight in iterate_batches(data, batch_size):
        if y is None:
            raise ValueError(
                f"`data` ({type(data).__name__}) has no labels, which the gradient of the loss "
                "needs: pass (x, y)."
            )
        length = batch_length(x)
        count += length
        for sums, mean in zip(total, function(x, y, sample_weight), strict=True):
            sums += length * np.asarray(ops.convert_to_numpy(mean), "float64")
    if not count:
        raise ValueError("`data` holds no samples.")
    return [sums / count for sums in total]
