"""Global magnitude pruning in one call."""

from __future__ import annotations

from typing import Any

import keras

from keras_compress.pruning.criteria.magnitude import Magnitude
from keras_compress.pruning.magnitude_allocation import magnitude_allocation
from keras_compress.pruning.patterns.pattern import Pattern
from keras_compress.pruning.prune_weights import prune_weights
from keras_compress.pruning.pruning_report import PruningReport


def prune_magnitude(
    model: keras.Model,
    sparsity: float,
    *,
    scope: str = "global",
    min_keep: float = 0.0005,
    pattern: Pattern | None = None,
    layers: Any = None,
) -> PruningReport:
    """Zero the weights of smallest absolute value in place, once.

    Exactly `round(sparsity * n)` of `n` weights become zero. Accuracy drops at high sparsity:
    fine-tune afterwards with `keras_compress.callbacks.KeepSparsity()`, or prune during training
    with `keras_compress.callbacks.MagnitudePruning`.

    Args:
        model: A built `keras.Model`; it need not be compiled.
        sparsity: Float in `[0, 1)`, share of the weights to zero.
        scope: `"global"` ranks all weights together, `"layer"` prunes the same share of each
            variable. Defaults to `"global"`.
        min_keep: Float in `[0, 1)`, share of all prunable weights that must survive in each
            variable, at least one if above 0; smaller variables stay dense. Defaults to `0.0005`.
        pattern: A `Pattern`, which weights go together. Defaults to single weights.
        layers: Layer names, paths, `re.Pattern`, layers, predicates or a list of these; `None`
            takes all kernels and embeddings but depthwise kernels, whose layers must be named.

    Returns:
        A `PruningReport`; its `masks` are bool arrays of the shapes of the variables.

    Raises:
        TypeError: If `sparsity` or `min_keep` is not a number.
        ValueError: If an argument is outside its range, the model is not built, a layer is unknown,
            nothing can be pruned, a weight is NaN, or `min_keep` makes `sparsity` impossible.

    Example:

    ```python
    import keras
    import keras_compress as kc

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(16), keras.layers.Dense(4)])
    kc.prune_magnitude(model, 0.75)
    assert kc.sparsity_report(model).sparsity == 0.75
    ```

    Reference:
        Gupta et al., "Is Complexity Required for Neural Network Pruning? A Case Study on Global
        Magnitude Pruning", arXiv 2209.14624; official code github.com/manasgupta-1/GlobalMP.
    """
    allocation = magnitude_allocation(scope, min_keep)
    return prune_weights(
        model,
        sparsity,
        criterion=Magnitude(),
        allocation=allocation,
        pattern=pattern,
        layers=layers,
    )
