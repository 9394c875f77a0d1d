"""Smaller models by whole channels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras

from keras_compress.structured.channel_budget import ChannelBudget
from keras_compress.structured.channel_plan import ChannelPlan
from keras_compress.structured.importances.channel_importance import ChannelImportance


def prune_structured(
    model: keras.Model,
    ratio: float | Mapping[Any, float] = 0.5,
    *,
    importance: str | ChannelImportance = "magnitude",
    scope: str = "local",
    budget: str | Callable | ChannelBudget | None = None,
    data: Any = None,
    layers: Any = None,
    round_to: int = 1,
    compensate: str | None = None,
) -> keras.Model:
    """A smaller model: whole channels, units and attention heads are removed.

    Use it where a model has to be faster or smaller everywhere: the result is an ordinary Keras
    model with narrower layers, which needs no sparse kernels, no masks and not this package. Train
    it for some epochs afterwards; the more is removed at once, the more it needs that (see
    `iterative_structured`). Zeroing single weights (`prune_magnitude`) keeps more accuracy at the
    same number of parameters, but makes nothing faster by itself.

    Layers whose channels are added or multiplied lose the same channels (`channel_groups` shows the
    groups). Inputs, outputs, and channels that go through operations nobody knows stay whole. The
    given model is untouched; the new one is not compiled, because the state of an optimizer does
    not fit it: compile it as you like. `structural_report(model, small)` shows what changed.

    Args:
        model: Built Functional or Sequential `keras.Model`.
        ratio: Float in `[0, 1)`, the share of the channels (or of the cost in `budget`) to remove.
            Or a dict from layer names, glob patterns such as `"conv*"` or `re.Pattern` (of layers
            that make channels) to ratios; groups that nobody names stay whole. Defaults to `0.5`.
        importance: A `ChannelImportance`, or `"magnitude"`, `"taylor"` or `"hessian"` (both with
            `data`), `"lamp"`, `"geometric_median"` or `"random"`. Defaults to `"magnitude"`.
        scope: `"local"`: every group loses its share. `"global"`: all channels compete, heads with
            heads. `"isomorphic"`: those of groups built alike compete. Defaults to `"local"`.
        budget: What `ratio` is a share of: `"channels"`, `"parameters"`, `"macs"`, a `Latency`, a
            function `model -> cost`, or a `ChannelBudget` of one of these with limits. Defaults to
            `None`, `"channels"`.
        data: Samples for data-driven importances and `compensate`: arrays of shape
            `(num_samples, ...)` and any dtype, `(x, y)`, or batches as `fit` takes them.
        layers: Layers that may lose channels: names, `re.Pattern`, predicates, layers, or a list
            of these; a group is pruned if all layers that make its channels are among them.
            Defaults to `None`, all.
        round_to: Integer >= 1; groups that lose channels keep a multiple of it (rounded down, at
            least one multiple). Defaults to `1`.
        compensate: `"bias"`, `"obs"` or `"mask"`: how the layers behind make up for what went, with
            statistics of `data`. Defaults to `None`.

    Returns:
        A new `keras.Model`, uncompiled.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If an argument is out of range or none of its choices, no channels can be
            removed, a layer is unknown, `data` is missing, or a budget is out of reach.

    Example:

    ```python
    import keras
    import keras_compress as kc

    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            keras.layers.Conv2D(16, 3, activation="relu", name="first"),
            keras.layers.Conv2D(16, 3, activation="relu", name="second"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(10, name="head"),
        ]
    )
    small = kc.prune_structured(model, 0.5, scope="global", round_to=4)
    small.compile("adam", "mse")
    print(kc.structured.structural_report(model, small))
    ```

    Reference:
        Fang et al., "DepGraph: Towards Any Structural Pruning", arXiv 2301.12900;
        github.com/VainF/Torch-Pruning. Isomorphic groups: Fang et al., arXiv 2407.04616.

    Deviations:
        Torch-Pruning lets a global ranking empty a group, which it then leaves whole; here the
        floors of `ChannelBudget` protect the best channels and others go in their place. A group
        may end above them because of `round_to`.

    Cost:
        One pass over the weights and the building of a model; with a budget of MACs a symbolic
        pass more, with a measured one about nine models.
    """
    plan = ChannelPlan(
        model,
        ratio,
        importance=importance,
        scope=scope,
        budget=budget,
        data=data,
        layers=layers,
        round_to=round_to,
        compensate=compensate,
    )
    return plan.prune(plan.graph)
