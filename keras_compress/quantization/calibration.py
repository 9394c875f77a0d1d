"""Statistics of layer inputs over calibration data."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator
from typing import Any

import keras
import numpy as np

from keras_compress.quantizers.quantizer import Quantizer

_BATCH_SIZE = 32


class InputStatistics:
    """An observer of a `QuantizeAware` layer: averages a quantizer's statistic over its inputs."""

    def __init__(self, layer_name: str, quantizer: Quantizer):
        self.layer_name = layer_name
        self.quantizer = quantizer
        self.total: Any = 0.0
        self.count = 0
        self.smallest = np.inf

    def __call__(self, inputs) -> None:
        inputs = keras.ops.cast(inputs, "float32")
        values = keras.ops.convert_to_numpy(inputs)
        if not np.all(np.isfinite(values)):
            raise ValueError(
                f"`calibration_data` leads to inputs of layer {self.layer_name!r} that are not "
                "finite."
            )
        if not self.quantizer.built:
            self.quantizer.build((None, *values.shape[1:]))
        statistic = keras.ops.convert_to_numpy(self.quantizer.statistic(inputs))
        self.total = self.total + statistic.astype("float64") * len(values)
        self.count += len(values)
        self.smallest = min(self.smallest, float(values.min()))

    @property
    def mean(self) -> np.ndarray:
        """The statistic, averaged over all samples seen."""
        if not self.count:
            raise ValueError(
                f"`calibration_data` does not reach layer {self.layer_name!r}: no batch was given."
            )
        return np.asarray(self.total / self.count, "float32")


def calibration_batches(data: Any, num_inputs: int) -> Iterator[Any]:
    """Batches of model inputs from the `calibration_data` of a user.

    `data` is an array, a dict, list or tuple of arrays (one per model input), or a finite iterable
    of batches such as a `PyDataset`, `tf.data.Dataset` or `DataLoader`; each batch the inputs or
    a tuple `(inputs, ...)`.
    """
    if _is_arrays(data):
        sizes = {len(array) for array in keras.tree.flatten(data)}
        if len(sizes) != 1 or not min(sizes):
            raise ValueError(
                "`calibration_data` must hold arrays of one positive length, got lengths "
                f"{sorted(sizes)}."
            )
        for start in range(0, sizes.pop(), _BATCH_SIZE):
            rows = slice(start, start + _BATCH_SIZE)
            yield keras.tree.map_structure(operator.itemgetter(rows), data)
        return
    if isinstance(data, keras.utils.PyDataset):
        items: Iterable = map(data.__getitem__, range(len(data)))
    elif isinstance(data, Iterable) and not isinstance(data, (str, bytes, dict)):
        items = data
    else:
        raise TypeError(
            "`calibration_data` must be an array, a structure of arrays or an iterable of "
            f"batches, got {data!r} of type {type(data).__name__}."
        )
    for batch in items:
        # A DataLoader collates `(x, y)` to a list; for several inputs a list means these.
        holds_targets = isinstance(batch, tuple) or (isinstance(batch, list) and num_inputs == 1)
        yield batch[0] if holds_targets else batch


def _is_arrays(data):
    if hasattr(data, "shape"):
        return True
    is_structure = isinstance(data, (dict, list, tuple)) and len(data) > 0
    return is_structure and all(hasattr(leaf, "shape") for leaf in keras.tree.flatten(data))
