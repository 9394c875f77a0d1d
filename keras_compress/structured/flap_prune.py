"""Smaller models without training: drop what hardly fluctuates, keep its mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_compress.calibration.collect_input_statistics import collect_input_statistics
from keras_compress.structured.channel_graph import ChannelGraph
from keras_compress.structured.chosen_groups import channel_cost, chosen_groups
from keras_compress.structured.compensation import rebuild_compensated
from keras_compress.structured.consumers import find_consumers
from keras_compress.structured.importances.fluctuation import (
    METRICS,
    check_read,
    fluctuation_scores,
)
from keras_reweight.core.channels.channel_group import ChannelGroup
from keras_reweight.core.validation import (
    check_boolean,
    check_built,
    check_choice,
    check_sparsity,
)

STRUCTURES = ("AL-AM", "AL-MM", "UL-MM", "UL-UM")


def flap_prune(
    model: keras.Model,
    data: Any,
    *,
    ratio: float = 0.2,
    metric: str = "WIFV",
    structure: str = "AL-AM",
    bias: bool = True,
    layers: Any = None,
) -> keras.Model:
    """A smaller model from calibration inputs alone: no labels, no training.

    A hidden unit whose output hardly varies over the data does little that a constant could not do:
    it is removed, and its mean goes into the biases of the layers behind it. All statistics are
    those of the given model, read where the units are used, behind activation and pooling. Good for
    up to half of the units; beyond, fine-tune, and without `bias`: at high ratios the means
    add up to more than the few remaining units can balance.

    `Fluctuation` has the metrics. The structures say how scores are compared, units with units
    (M) and heads with heads (M): `"UL-UM"`, the same share of every layer; `"UL-MM"`, one ranking
    of raw scores over all layers; `"AL-MM"`, one ranking of scores standardized per layer;
    `"AL-AM"`, one ranking of standardized scores of heads and units together, in which each costs
    the parameters that go with it, so that `ratio` is a share of parameters.

    Args:
        model: Built Functional or Sequential `keras.Model`; it is left as it is.
        data: Calibration inputs: array of shape `(num_samples, ...)` and any dtype, or batches.
            Some hundred samples do.
        ratio: Float in `[0, 1)`, share to remove of the chosen groups. Defaults to `0.2`.
        metric: String, `"WIFV"`, `"IFV"` or `"WIFN"`. Defaults to `"WIFV"`.
        structure: String, `"AL-AM"`, `"AL-MM"`, `"UL-MM"` or `"UL-UM"`. Defaults to `"AL-AM"`.
        bias: Bool, whether the next layers take up the means. Defaults to `True`.
        layers: Layers whose channels, units or heads may go: names, `re.Pattern`, predicates,
            layers or a list. Defaults to `None`: inner widths, that is every group that one layer
            makes, and no residual stream.

    Returns:
        A new, uncompiled `keras.Model`. Every group keeps at least one channel.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If an argument is out of range, nothing can be pruned, a layer is unknown, or an
            input is not finite.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_compress as kc

    layers = [keras.layers.Dense(16, activation="relu", name=f"hidden{n}") for n in range(2)]
    model = keras.Sequential([keras.Input((4,)), *layers, keras.layers.Dense(3)])
    x = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
    small = kc.structured.flap_prune(model, x, ratio=0.25)
    assert small.count_params() < model.count_params()
    ```

    Reference:
        An et al., "Fluctuation-based Adaptive Structured Pruning for Large Language Models",
        arXiv 2312.11983.

    Deviations:
        Exact variances (see `Fluctuation`). The official costs, 512/3 for a head and 1 for a unit,
        are those of one architecture; here they are counted. Officially the unit at the threshold
        goes too, and a layer may lose everything.

    Cost:
        One forward pass over `data`.
    """
    check_built(model, "flap_prune")
    check_sparsity("ratio", ratio)
    check_choice("metric", metric, METRICS)
    check_choice("structure", structure, STRUCTURES)
    check_boolean("bias", bias)
    graph = ChannelGraph(model)
    groups = chosen_groups(graph, layers)
    consumers = check_read(groups, find_consumers(graph, groups))
    statistics = collect_input_statistics(
        model,
        data,
        layers=[consumer.layer for consumer in consumers.values()],
    )
    adaptive = structure.startswith("AL")
    scores = fluctuation_scores(groups, consumers, statistics, metric, adaptive)
    costs = {group.name: channel_cost(graph, group) for group in groups}
    keep = select(groups, scores, ratio, structure, costs)
    return rebuild_compensated(graph, keep, "bias" if bias else None, statistics=statistics)


def select(
    groups: Sequence[ChannelGroup],
    scores: Mapping[str, np.ndarray],
    ratio: float,
    structure: str,
    costs: Mapping[str, float],
) -> dict[str, np.ndarray]:
    """Group name -> bool array of what stays, by one of the four structures."""
    if structure == "UL-UM":
        pools = [[group] for group in groups]
    elif structure == "AL-AM":
        pools = [list(groups)]
    else:
        heads = [group for group in groups if group.kind == "heads"]
        pools = [heads, [group for group in groups if group.kind != "heads"]]
    keep = {group.name: np.ones(group.size, bool) for group in groups}
    for pool in filter(None, pools):
        values = np.concatenate([scores[group.name] for group in pool])
        owners = np.repeat(np.arange(len(pool)), [group.size for group in pool])
        places = np.concatenate([np.arange(group.size) for group in pool])
        weights = np.ones(len(values))
        if structure == "AL-AM":
            weights = np.array([costs[group.name] for group in pool])[owners]
        order = np.argsort(values, kind="stable")
        for index in order[: _num_removed(weights[order], ratio)]:
            keep[pool[owners[index]].name][places[index]] = False
    for group in groups:
        if not keep[group.name].any():
            keep[group.name][np.argmax(scores[group.name])] = True
    return keep


def _num_removed(weights, ratio):
    """How many of the lowest go, so that their cost is nearest to the share of all."""
    gone = np.concatenate([[0.0], np.cumsum(weights)])
    return int(np.argmin(np.abs(gone - ratio * gone[-1])))
