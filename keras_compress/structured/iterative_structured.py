"""Fewer channels in steps, with training between them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras

from keras_compress.structured.channel_budget import ChannelBudget
from keras_compress.structured.channel_graph import ChannelGraph
from keras_compress.structured.channel_plan import ChannelPlan
from keras_compress.structured.importances.channel_importance import ChannelImportance
from keras_reweight.core.validation import check_integer


def iterative_structured(
    model: keras.Model,
    ratio: float | Mapping[Any, float] = 0.5,
    *,
    steps: int,
    fine_tune: Callable[[keras.Model, int], Any],
    importance: str | ChannelImportance = "magnitude",
    scope: str = "local",
    budget: str | Callable | ChannelBudget | None = None,
    data: Any = None,
    layers: Any = None,
    round_to: int = 1,
    compensate: str | None = None,
) -> keras.Model:
    """Remove channels little by little and train in between, until `ratio` of them is gone.

    Use it for ratios that a model does not survive at once. Shapes cannot change inside of one
    `fit`, so this drives the training: at step `i` of `n`, `ratio * i / n` of what the *original*
    model had is gone, and `fine_tune(smaller_model, i)` is called, which compiles and fits it in
    place. Importances are computed anew at each step.

    Args:
        model: Built Functional or Sequential `keras.Model`; it is untouched.
        ratio: As for `prune_structured`; what is gone in the end. Defaults to `0.5`.
        steps: Integer >= 1.
        fine_tune: Function `(model, step)`, with `step` from 1 to `steps`. What it returns is not
            looked at; what it raises ends the pruning. The model it gets is not compiled.
        importance: As for `prune_structured`. `"taylor"` and `"hessian"` take the loss the model
            is compiled with at that step. Defaults to `"magnitude"`.
        scope: As for `prune_structured`. Defaults to `"local"`.
        budget: As for `prune_structured`. Defaults to `None`.
        data: As for `prune_structured`: arrays of shape `(num_samples, ...)` and any dtype, or
            batches.
        layers: As for `prune_structured`. Defaults to `None`.
        round_to: As for `prune_structured`. Defaults to `1`.
        compensate: As for `prune_structured`. Defaults to `None`.

    Returns:
        A new `keras.Model`, in the state in which the last `fine_tune` left it.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: As `prune_structured`, and if `steps` is less than one.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_compress as kc

    x, y = np.random.default_rng(0).normal(size=(16, 3)).astype("float32"), np.zeros((16, 2))

    def fine_tune(model, step):
        model.compile("adam", "mse")
        model.fit(x, y, verbose=0)

    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(8), keras.layers.Dense(2)])
    small = kc.structured.iterative_structured(model, 0.5, steps=2, fine_tune=fine_tune)
    assert small.layers[0].units == 4
    ```

    Reference:
        Fang et al., "DepGraph: Towards Any Structural Pruning", arXiv 2301.12900; the linear
        schedule of github.com/VainF/Torch-Pruning.

    Cost:
        `steps` times that of `prune_structured`, and the training.
    """
    check_integer("steps", steps, minimum=1)
    if not callable(fine_tune):
        raise TypeError(
            f"`fine_tune` must be a function of (model, step), got {fine_tune!r} of type "
            f"{type(fine_tune).__name__}."
        )
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
    graph = plan.graph
    for step in range(1, steps + 1):
        small = plan.prune(graph, step / steps)
        fine_tune(small, step)
        graph = ChannelGraph(small)
    return small
