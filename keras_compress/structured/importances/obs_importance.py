"""Channels by what the layers behind them lose once they have made up for the loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_compress.calibration.collect_input_statistics import collect_input_statistics
from keras_compress.structured.channel_graph import ChannelGraph
from keras_compress.structured.consumers import find_consumers
from keras_compress.structured.importances.channel_importance import ChannelImportance
from keras_compress.structured.importances.fluctuation import check_read
from keras_compress.structured.importances.members import NORMALIZERS, normalize
from keras_compress.structured.noise_inputs import noise_inputs
from keras_reweight.core.channels.channel_group import ChannelGroup
from keras_reweight.core.no_config import NoConfig
from keras_reweight.core.validation import check_choice, check_number


class OBSImportance(ChannelImportance):
    """Score a channel by the error that is left when the others replace it (OBSPA).

    A channel that follows from others is worth little, however large it is. With `H = E[x x^T] +
    lambda I` of the inputs of a layer that reads the channel, and its kernel rows `W`:

    `I(j) = sum_o W_jo^2 / [H^-1]_jj`, and `tr(W_B^T ([H^-1]_BB)^-1 W_B)` for a channel with
    several rows `B` (kernel positions of a convolution, places behind `Flatten`), summed over the
    layers that read it.

    Meant for `prune_structured(..., compensate="obs")`, which replaces them so.

    Args:
        data: Calibration inputs: array of shape `(num_samples, ...)` and any dtype, or batches, of
            the task or alike. Defaults to `None`: `noise_inputs`, a makeshift.
        ridge: Float > 0, `lambda` as a share of the mean diagonal. Defaults to `0.01`.
        normalizer: String, as for `GroupImportance`. Defaults to `"mean"`.
        batch_size: Integer, samples at a time, for arrays. Defaults to `32`.

    Returns:
        A `ChannelImportance` for `prune_structured`.

    Raises:
        ValueError: In `scores`, if an argument is out of range, inputs are not finite, or no dense
            layer or convolution reads a group.
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
    importance = kc.structured.OBSImportance(x)
    small = kc.prune_structured(model, 0.5, importance=importance, compensate="obs", data=x)
    ```

    Reference:
        Wang et al., "Structurally Prune Anything: Any Architecture, Any Framework, Any Time",
        arXiv 2403.18955, section 3.3; Hassibi and Stork, "Second Order Derivatives for Network
        Pruning: Optimal Brain Surgeon", NeurIPS 1992.

    Cost:
        One forward pass over `data`; the cube of the number of kernel rows of each reader.
    """

    get_config = NoConfig("it holds data")

    def __init__(
        self,
        data: Any = None,
        *,
        ridge: float = 0.01,
        normalizer: str = "mean",
        batch_size: int = 32,
    ):
        self.data = data
        self.ridge = ridge
        self.normalizer = normalizer
        self.batch_size = batch_size

    def scores(self, graph: ChannelGraph, groups: Sequence[ChannelGroup]) -> dict[str, np.ndarray]:
        check_number("ridge", self.ridge, exclusive_minimum=0.0)
        check_choice("normalizer", self.normalizer, NORMALIZERS)
        consumers = check_read(groups, find_consumers(graph, groups))
        statistics = collect_input_statistics(
            graph.model,
            noise_inputs(graph.model) if self.data is None else self.data,
            layers=[consumer.layer for consumer in consumers.values()],
            moments=["gram"],
            batch_size=self.batch_size,
        )
        totals = {group.name: np.zeros(group.size) for group in groups}
        for path, consumer in consumers.items():
            matrix = consumer.matrix()
            inverse = _inverse(statistics[path].gram / statistics[path].count, self.ridge)
            for name in dict.fromkeys(name for name, _ in consumer.pieces):
                totals[name] += obs_errors(matrix, inverse, consumer.channels(name), totals[name])
        return {name: normalize(total, self.normalizer) for name, total in totals.items()}


def obs_errors(matrix, inverse, channels, like):
    """Error of each channel alone; `channels` holds the channel of each row, or -1."""
    errors = np.zeros_like(like)
    for channel in np.unique(channels[channels >= 0]):
        rows = np.flatnonzero(channels == channel)
        weights = matrix[rows]
        errors[channel] = np.sum(weights * np.linalg.solve(inverse[np.ix_(rows, rows)], weights))
    return errors


def _inverse(gram, ridge):
    damping = ridge * np.mean(np.diagonal(gram))
    # A layer that only ever gets zeros says nothing of its weights: plain magnitudes.
    return np.linalg.inv(gram + (damping if damping > 0.0 else 1.0) * np.eye(len(gram)))
