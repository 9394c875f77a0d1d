"""Channels by how far the layers behind them notice that they vary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_compress.calibration.collect_input_statistics import collect_input_statistics
from keras_compress.calibration.input_statistics import InputStatistics
from keras_compress.structured.channel_graph import ChannelGraph
from keras_compress.structured.consumers import Consumer, find_consumers
from keras_compress.structured.importances.channel_importance import ChannelImportance
from keras_reweight.core.channels.channel_group import ChannelGroup
from keras_reweight.core.no_config import NoConfig
from keras_reweight.core.validation import check_boolean, check_choice

METRICS = ("IFV", "WIFN", "WIFV")


class Fluctuation(ChannelImportance):
    """Score a channel by the fluctuation of the inputs it gives to the next layers (FLAP).

    An input that hardly varies can be replaced by its mean, which the bias of the next layer takes
    up (`compensate="bias"`); what is lost is its variance, weighted with the kernel row `W_j` that
    reads it. With the variance `v_j` and the second moment `s_j` of input `j`:

    - `"IFV"`: `v_j`,
    - `"WIFV"`: `v_j sum_o W_jo^2`,
    - `"WIFN"`: `mean_o |W_jo| sqrt(s_j)`.

    Rows of one channel (kernel positions, places behind `Flatten`, several readers) are added up.
    Inputs of attention heads are squared first and averaged over the head. With `standardize` the
    scores of every layer become z-scores, so that one threshold can decide over all layers.

    Args:
        data: Calibration inputs: array of shape `(num_samples, ...)` and any dtype, or batches.
            Labels are not needed.
        metric: String, `"WIFV"`, `"IFV"` or `"WIFN"`. Defaults to `"WIFV"`.
        standardize: Bool. Defaults to `True`.
        batch_size: Integer, samples at a time, for arrays. Defaults to `32`.

    Returns:
        A `ChannelImportance` for `prune_structured`.

    Raises:
        ValueError: In `scores`, for an unknown `metric`, data without samples or with inputs that
            are not finite, or a group that no dense layer or convolution reads.
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
    importance = kc.structured.Fluctuation(x)
    small = kc.prune_structured(model, 0.25, importance=importance, compensate="bias", data=x)
    ```

    Reference:
        An et al., "Fluctuation-based Adaptive Structured Pruning for Large Language Models",
        arXiv 2312.11983, section 3.

    Deviations:
        The variance is exact. The official running update subtracts the new mean twice and counts
        sequences instead of tokens.

    Cost:
        One forward pass over `data`.
    """

    get_config = NoConfig("it holds data")

    def __init__(
        self,
        data: Any,
        *,
        metric: str = "WIFV",
        standardize: bool = True,
        batch_size: int = 32,
    ):
        self.data = data
        self.metric = metric
        self.standardize = standardize
        self.batch_size = batch_size

    def scores(self, graph: ChannelGraph, groups: Sequence[ChannelGroup]) -> dict[str, np.ndarray]:
        check_choice("metric", self.metric, METRICS)
        check_boolean("standardize", self.standardize)
        consumers = check_read(groups, find_consumers(graph, groups))
        statistics = collect_input_statistics(
            graph.model,
            self.data,
            layers=[consumer.layer for consumer in consumers.values()],
            moments=("mean", "var", "second_moment"),
            batch_size=self.batch_size,
        )
        return fluctuation_scores(groups, consumers, statistics, self.metric, self.standardize)


def fluctuation_scores(
    groups: Sequence[ChannelGroup],
    consumers: Mapping[str, Consumer],
    statistics: Mapping[str, InputStatistics],
    metric: str,
    standardize: bool,
) -> dict[str, np.ndarray]:
    """Scores of all channels from statistics that are there."""
    scores = {}
    for group in groups:
        total = np.zeros(group.size)
        heads = group.kind == "heads"
        for path, consumer in consumers.items():
            channels = consumer.channels(group.name)
            mine = channels >= 0
            if not mine.any():
                continue
            rows = row_scores(consumer.matrix(), statistics[path], metric)[mine]
            if heads:
                # Squared, then compared row by row: a head counts for what stands out in it.
                rows = np.square(rows)
                rows = zscores(rows) if standardize else rows
            sums: np.ndarray = np.bincount(channels[mine], weights=rows, minlength=group.size)
            if heads and standardize:
                sums = sums / np.maximum(np.bincount(channels[mine], minlength=group.size), 1)
            total += sums
        scores[group.name] = zscores(total) if standardize and not heads else total
    return scores


def row_scores(matrix: np.ndarray, statistics: InputStatistics, metric: str) -> np.ndarray:
    """One number a kernel row."""
    if metric == "IFV":
        return statistics.var
    if metric == "WIFV":
        return statistics.var * np.square(matrix).sum(axis=1)
    return np.abs(matrix).mean(axis=1) * np.sqrt(statistics.second_moment)


def zscores(values: np.ndarray) -> np.ndarray:
    """`(values - mean) / std` with the sample standard deviation; zeros where all are equal."""
    spread = values.std(ddof=1) if values.size > 1 else 0.0
    away = values - values.mean()
    return away / spread if spread > 0.0 else np.zeros_like(away)


def check_read(
    groups: Sequence[ChannelGroup], consumers: Mapping[str, Consumer]
) -> Mapping[str, Consumer]:
    """Raise if a group has no reader whose inputs could be looked at."""
    read = {name for consumer in consumers.values() for name, _ in consumer.pieces}
    unread = [group.name for group in groups if group.name not in read]
    if unread:
        raise ValueError(
            f"No dense layer or convolution reads the channels of {unread}, so nothing is known of "
            "their effect. Leave these groups out with `layers`."
        )
    return consumers
