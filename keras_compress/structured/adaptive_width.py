"""For every layer the smallest width that the outputs can bear."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_compress.structured._width_objective import OBJECTIVES, WidthObjective
from keras_compress.structured.channel_graph import ChannelGraph
from keras_compress.structured.chosen_groups import chosen_groups
from keras_compress.structured.consumers import find_consumers
from keras_compress.structured.importances.channel_importance import ChannelImportance
from keras_compress.structured.importances.entropy_taylor import EntropyTaylor
from keras_compress.structured.importances.fluctuation import check_read
from keras_reweight.core.state import sync_model
from keras_reweight.core.validation import check_built, check_integer, check_number


def adaptive_width(
    model: keras.Model,
    data: Any,
    *,
    validation_data: Any = None,
    objective: str | Callable = "kl",
    threshold: float = 0.01,
    iterations: int = 6,
    importance: ChannelImportance | None = None,
    layers: Any = None,
) -> keras.Model:
    """A smaller model in which every hidden layer has the width it needs, found without labels.

    Layers differ in how much of them is redundant. Units are ranked once; then, from the last layer
    to the first, a bisection finds the smallest width at which the objective on `validation_data`
    rises by at most `threshold`. Only then a smaller model is built; the given one is masked in
    between and gets its weights back, also after an error. Distill or fine-tune the result.

    Objectives: `"kl"`, the mean divergence of the class probabilities from those of the given
    model, which measures fidelity; `"entropy"`, the mean entropy of the class probabilities, as in
    the paper (falling entropy is always accepted, even if the predictions are wrong then); or a
    function of the outputs, such as `similarity_entropy` for feature extractors. Outputs that are
    no probabilities are taken for logits.

    Args:
        model: Built Functional or Sequential `keras.Model`.
        data: Inputs to rank units with: array of shape `(num_samples, ...)` and any dtype, or
            batches.
        validation_data: Inputs to measure the objective on, as `data`. Defaults to `data`.
        objective: `"kl"`, `"entropy"` or a function `outputs -> (batch,)` or scalar. Defaults to
            `"kl"`.
        threshold: Float >= 0, rise of the objective that a layer may cause. With `L` layers the sum
            can reach `L` times this. Defaults to `0.01`.
        iterations: Integer >= 1, steps of each bisection: widths are found to `size / 2^steps`.
            Defaults to `6`.
        importance: A `ChannelImportance` to rank units with. Defaults to `EntropyTaylor(data)`,
            with a callable `objective` in place of the entropy.
        layers: Layers whose channels or units may go, as for `flap_prune`. Defaults to `None`:
            groups of channels or units (no heads) that one layer makes.

    Returns:
        A new, uncompiled `keras.Model`.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If an argument is out of range, nothing can be pruned, a layer is unknown, or
            the objective is not finite.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_compress as kc

    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(16, activation="relu"), keras.layers.Dense(3)]
    )
    x = np.random.default_rng(0).normal(size=(32, 4)).astype("float32")
    small = kc.structured.adaptive_width(model, x, threshold=0.05, iterations=4)
    assert small.layers[0].units <= 16
    ```

    Reference:
        "Adaptive MLP Pruning for Large Vision Transformers", arXiv 2603.08100.

    Deviations:
        The divergence is our default; the paper uses the entropy alone.

    Cost:
        A forward and a backward pass over `data`, `1 + iterations` times the number of layers
        forward passes over `validation_data`.
    """
    check_built(model, "adaptive_width")
    check_number("threshold", threshold, minimum=0.0)
    check_integer("iterations", iterations, minimum=1)
    if not callable(objective) and objective not in OBJECTIVES:
        raise ValueError(
            f"`objective` must be one of {OBJECTIVES} or a function, got {objective!r}."
        )
    if importance is None:
        importance = EntropyTaylor(data, objective=objective if callable(objective) else None)
    elif not isinstance(importance, ChannelImportance):
        raise TypeError(f"`importance` must be a ChannelImportance or None, got {importance!r}.")
    graph = ChannelGraph(model)
    groups = chosen_groups(graph, layers, kinds=("channels", "units"))
    consumers = check_read(groups, find_consumers(graph, groups))
    sync_model(model)
    scores = importance.scores(graph, groups)
    if validation_data is None:
        measure = WidthObjective(model, data, objective)
    else:
        measure = WidthObjective(model, validation_data, objective, "validation_data")
    originals = {path: consumer.matrix() for path, consumer in consumers.items()}
    keep = {group.name: np.ones(group.size, bool) for group in groups}

    def mask(group, kept):
        changed = {**keep, group.name: kept}
        for path, consumer in consumers.items():
            if any(name == group.name for name, _ in consumer.pieces):
                consumer.assign(originals[path] * consumer.kept(changed)[:, None])

    try:
        base = measure()
        for group in reversed(groups):
            order = np.argsort(-scores[group.name], kind="stable")

            def loss_at(width, group=group, order=order):
                kept = np.zeros(group.size, bool)
                kept[order[:width]] = True
                mask(group, kept)
                return measure()

            width, base = smallest_width(group.size, loss_at, base, threshold, iterations)
            keep[group.name] = np.isin(np.arange(group.size), order[:width])
            mask(group, keep[group.name])
    finally:
        for path, consumer in consumers.items():
            consumer.assign(originals[path])
    return graph.rebuild(keep)


def smallest_width(
    size: int,
    loss_at: Callable[[int], float],
    base: float,
    threshold: float,
    iterations: int,
) -> tuple[int, float]:
    """Bisection for the smallest width with `loss_at(width) - base <= threshold`.

    Returns the width and its loss, `(size, base)` if no smaller one will do.
    """
    low, high, loss = 0, size, base
    for _ in range(iterations):
        middle = (low + high) // 2
        if middle in (low, high) or not middle:
            break
        found = loss_at(middle)
        if found - base <= threshold:
            high, loss = middle, found
        else:
            low = middle
    return high, loss
