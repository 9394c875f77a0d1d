"""Channels by what their outputs mean to the certainty of a model, without labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_compress.calibration.kernel_rows import input_rows
from keras_compress.structured._width_objective import entropies, sum_over_samples
from keras_compress.structured.channel_graph import ChannelGraph
from keras_compress.structured.consumers import find_consumers
from keras_compress.structured.importances.channel_importance import ChannelImportance
from keras_compress.structured.importances.fluctuation import check_read
from keras_reweight.core.batches import batch_length, iterate_batches
from keras_reweight.core.channels.channel_group import ChannelGroup
from keras_reweight.core.forward import as_model_inputs, predictions_of
from keras_reweight.core.input_products import make_input_products
from keras_reweight.core.no_config import NoConfig
from keras_reweight.core.state import sync_model
from keras_reweight.core.validation import check_boolean, check_integer


class EntropyTaylor(ChannelImportance):
    """Score a channel by the first-order change of a label-free objective without it.

    For calibration data without labels, and for large models: one backward pass a batch. With the
    input `a_j` that a channel gives to the layers behind it and the objective `L` of a sample:

    `I(j) = mean over samples of |sum over positions of a_j dL/da_j|`, or without the absolute value
    (`absolute=False`), which ranks by whether the channel lowers the objective.

    Args:
        data: Inputs: array of shape `(num_samples, ...)` and any dtype, or batches. Labels are not
            needed.
        objective: Function `outputs -> (batch,)` or scalar mean. Defaults to `None`: the entropy of
            the class probabilities (outputs that are none are taken for logits).
        absolute: Bool. Defaults to `True`.
        batch_size: Integer, samples at a time, for arrays. Defaults to `32`.

    Returns:
        A `ChannelImportance` for `adaptive_width` and `prune_structured`.

    Raises:
        ValueError: In `scores`, if data hold no samples, all gradients vanish, or no dense layer or
            convolution reads a group.
        TypeError: In `scores`, if an argument is of the wrong kind.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_compress as kc

    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(8, activation="relu"), keras.layers.Dense(3)]
    )
    x = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
    small = kc.prune_structured(model, 0.5, importance=kc.structured.EntropyTaylor(x))
    ```

    Reference:
        "Adaptive MLP Pruning for Large Vision Transformers", arXiv 2603.08100.

    Cost:
        One forward and one backward pass over `data`.
    """

    get_config = NoConfig("it holds data")

    def __init__(
        self,
        data: Any,
        *,
        objective: Callable | None = None,
        absolute: bool = True,
        batch_size: int = 32,
    ):
        self.data = data
        self.objective = objective
        self.absolute = absolute
        self.batch_size = batch_size

    def scores(self, graph: ChannelGraph, groups: Sequence[ChannelGroup]) -> dict[str, np.ndarray]:
        check_boolean("absolute", self.absolute)
        check_integer("batch_size", self.batch_size, minimum=1)
        if not (self.objective is None or callable(self.objective)):
            raise TypeError(f"`objective` must be a function or None, got {self.objective!r}.")
        consumers = check_read(groups, find_consumers(graph, groups))
        sync_model(graph.model)
        products = self._products(graph.model, [one.layer for one in consumers.values()])
        totals = {group.name: np.zeros(group.size) for group in groups}
        count = 0
        for x, _, _ in iterate_batches(self.data, self.batch_size):
            count += batch_length(x)
            found = [
                np.asarray(ops.convert_to_numpy(part), "float64")
                for part in products(as_model_inputs(graph.model, x))
            ]
            for group in groups:
                sums = np.zeros((group.size, len(found[0])))
                for part, consumer in zip(found, consumers.values(), strict=True):
                    for name, channel in consumer.input_channels():
                        if name == group.name:
                            mine = channel >= 0
                            np.add.at(sums, channel[mine], part.T[mine])
                totals[group.name] += (np.abs(sums) if self.absolute else sums).sum(axis=1)
        if not count:
            raise ValueError("`data` holds no samples.")
        if not any(np.any(total) for total in totals.values()):
            raise ValueError(
                "`objective` does not change with any channel: its gradient is zero everywhere. A "
                "distance to the outputs of the same model is at its minimum; use the entropy."
            )
        return {name: total / count for name, total in totals.items()}

    def _products(self, model, layers):
        def objective(x):
            outputs = predictions_of(model, x)
            if self.objective is None:
                return ops.sum(entropies(model, outputs))
            values = ops.convert_to_tensor(self.objective(outputs))
            return sum_over_samples(values, ops.shape(keras.tree.flatten(x)[0])[0])

        def reduce(number, product):
            layer = layers[number]
            if isinstance(layer, keras.layers.EinsumDense):
                product = input_rows(layer, product)
            elif getattr(layer, "data_format", None) == "channels_first":
                product = ops.moveaxis(product, 1, -1)
            return ops.sum(product, axis=tuple(range(1, len(product.shape) - 1)))

        return make_input_products(objective, layers, reduce)
