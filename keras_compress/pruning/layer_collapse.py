"""Layers that pruning has cut off."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_compress.pruning.criteria.criterion import host_value
from keras_compress.pruning.prunable_weights import find_prunable_weights
from keras_reweight.core.state import sync_model
from keras_reweight.core.synaptic_flow import synaptic_flow
from keras_reweight.core.validation import check_boolean, check_number


class LayerCollapseWarning(UserWarning):
    """Pruning left a kernel without any weight, so that nothing passes through its layer.

    Prune less, or hand the allocation a larger `min_keep`. To make it an error:
    `warnings.simplefilter("error", kc.pruning.LayerCollapseWarning)`.

    Args:
        message: String, what was pruned too much.

    Returns:
        A warning category.

    Raises:
        None.

    Example:

    ```python
    import warnings
    import keras_compress as kc

    with warnings.catch_warnings():
        warnings.simplefilter("error", kc.pruning.LayerCollapseWarning)
    ```

    Reference:
        Tanaka et al., "Pruning Neural Networks without Any Data by Iteratively Conserving Synaptic
        Flow", NeurIPS 2020, arXiv 2006.05467, section 3 (layer-collapse).
    """

    def __init__(self, message: str):
        super().__init__(message)


def collapsed_layers(
    model: keras.Model, *, min_share: float = 0.0, trace: bool = False, layers: Any = None
) -> dict[str, str]:
    """Kernels with (almost) no weights left, and those that no signal passes.

    Use it after pruning to a high sparsity, before hours of retraining: a model with a layer
    without weights gives the same output for every input. Survivors alone are not enough, if those
    of one layer end where those of the next do not begin; `trace=True` follows an all-positive
    signal through feed-forward and convolutional models and finds that, too.

    Args:
        model: A built `keras.Model`.
        min_share: Float in `[0, 1)`, report kernels with at most this share of weights left.
            Defaults to `0.0`, none left.
        trace: Boolean, whether to look for kernels without a path from input to output. Defaults to
            `False`.
        layers: Layer names, paths, `re.Pattern`, layers, predicates or a list of these; `None`
            takes all kernels and embeddings.

    Returns:
        Dict from the path of a variable to what is wrong with it; empty if nothing is.

    Raises:
        TypeError: If `model` is no `keras.Model` or an argument is of the wrong kind.
        ValueError: If the model is not built, `min_share` is outside `[0, 1)`, a layer is unknown,
            or, with `trace`, the model has layers through which a signal cannot be followed
            (attention, recurrent layers, embeddings).

    Example:

    ```python
    import keras
    import keras_compress as kc

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4), keras.layers.Dense(2)])
    assert not kc.pruning.collapsed_layers(model, trace=True)
    model.layers[0].kernel.assign(keras.ops.zeros((8, 4)))
    assert len(kc.pruning.collapsed_layers(model)) == 1
    ```

    Reference:
        Tanaka et al., "Pruning Neural Networks without Any Data by Iteratively Conserving Synaptic
        Flow", NeurIPS 2020, arXiv 2006.05467, section 3.

    Cost:
        One look at the weights; with `trace` one backward pass for one sample of ones.
    """
    check_number("min_share", min_share, minimum=0.0, exclusive_maximum=1.0)
    check_boolean("trace", trace)
    weights = find_prunable_weights(model, layers, trainable_only=False, caller="collapsed_layers")
    sync_model(model)
    found = {}
    for path, variable in zip(weights.paths, weights.variables, strict=True):
        value = host_value(variable)
        left = int(np.count_nonzero(value))
        if left <= min_share * value.size:
            found[path] = f"{left} of {value.size} weights left"
    if trace:
        flows = synaptic_flow(model, weights.variables)
        for path, flow in zip(weights.paths, flows, strict=True):
            if not flow.any():
                found.setdefault(path, "no path from the input to the output leads through it")
    return found


def warn_of_collapse(masks: Mapping[str, np.ndarray], caller: str) -> None:
    """Warn if a mask (true where a weight is kept) keeps nothing; given by path of the variable."""
    empty = [path for path, mask in masks.items() if not np.any(mask)]
    if empty:
        warnings.warn(
            f"{caller}: no weight is left in {empty}, so nothing passes through these layers. "
            "Prune less, or give the allocation a larger `min_keep`.",
            LayerCollapseWarning,
            stacklevel=3,
        )
