"""Prune once, without training."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_compress.pruning.allocations.allocation import Allocation
from keras_compress.pruning.allocations.global_allocation import GlobalAllocation
from keras_compress.pruning.context import PruningContext, check_pattern
from keras_compress.pruning.criteria.criterion import Criterion
from keras_compress.pruning.criteria.magnitude import Magnitude
from keras_compress.pruning.layer_collapse import warn_of_collapse
from keras_compress.pruning.lowest_masks import next_masks
from keras_compress.pruning.patterns.pattern import Pattern
from keras_compress.pruning.prunable_weights import find_prunable_weights
from keras_compress.pruning.pruning_report import PruningReport
from keras_reweight.core.state import sync_model
from keras_reweight.core.validation import check_sparsity


def prune_weights(
    model: keras.Model,
    sparsity: float,
    *,
    criterion: Criterion | None = None,
    allocation: Allocation | None = None,
    pattern: Pattern | None = None,
    layers: Any = None,
) -> PruningReport:
    """Zero the least important weights of a model in place, once.

    Use it before fine-tuning with `KeepSparsity`, or as a quick look at what a model can lose. The
    model is unchanged if anything is wrong with the arguments. Frozen layers are pruned too.

    Args:
        model: A built `keras.Model`; it need not be compiled.
        sparsity: Float in `[0, 1)`, share of the weights to zero.
        criterion: A `Criterion`, what a weight is worth. Defaults to `Magnitude()`.
        allocation: An `Allocation`, how the sparsity is spread over the variables. Defaults to
            `GlobalAllocation()`.
        pattern: A `Pattern`, which weights go together. Defaults to single weights.
        layers: Layer names, paths, `re.Pattern`, layers, predicates or a list of these; `None`
            takes all kernels and embeddings but depthwise kernels, whose layers must be named.

    Returns:
        A `PruningReport`; its `masks` are bool arrays of the shapes of the variables.

    Raises:
        TypeError: If `sparsity` is not a number, or `criterion`, `allocation` or `pattern` of
            another kind.
        ValueError: If the model is not built, a layer is unknown, nothing can be pruned, a weight
            is NaN, or `sparsity` is outside `[0, 1)` or beyond what `allocation` or `pattern`
            allows.

    Example:

    ```python
    import keras
    import keras_compress as kc

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(16), keras.layers.Dense(4)])
    report = kc.pruning.prune_weights(model, 0.75, allocation=kc.pruning.UniformAllocation())
    assert sum(mask.sum() for mask in report.masks.values()) == 48
    ```

    Reference:
        None; the one-shot driver of criteria and allocations.

    Cost:
        One pass over the weights on the host, about three times their memory.
    """
    check_sparsity("sparsity", sparsity)
    criterion, allocation = resolve_parts(criterion, allocation)
    pattern = check_pattern(pattern)
    pattern.check(sparsity)
    weights = find_prunable_weights(model, layers, trainable_only=False, caller="prune_weights")
    sync_model(model)
    context = PruningContext.of(model, weights, pattern)
    scores = criterion.scores(model, weights.variables)
    masks = next_masks(scores, allocation, sparsity, context=context)
    warn_of_collapse(dict(zip(weights.paths, masks, strict=True)), "prune_weights")
    for variable, mask in zip(weights.variables, masks, strict=True):
        value = ops.convert_to_tensor(variable)
        variable.assign(ops.where(ops.convert_to_tensor(mask), value, 0))
    touched = {path: mask.size for path, mask in zip(weights.paths, masks, strict=True)}
    return PruningReport(touched, weights.skipped, dict(zip(weights.paths, masks, strict=True)))


def resolve_parts(criterion: Any, allocation: Any) -> tuple[Criterion, Allocation]:
    """`None` stands for the defaults; anything else must be a `Criterion` and an `Allocation`."""
    criterion = Magnitude() if criterion is None else criterion
    allocation = GlobalAllocation() if allocation is None else allocation
    for name, part, kind in (
        ("criterion", criterion, Criterion),
        ("allocation", allocation, Allocation),
    ):
        if not isinstance(part, kind):
            raise TypeError(f"`{name}` must be a {kind.__name__}, got {part!r}.")
    return criterion, allocation
