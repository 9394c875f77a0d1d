"""Any allocation as numbers."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from keras_compress.pruning.allocations.allocation import Allocation
from keras_compress.pruning.context import PruningContext, check_pattern
from keras_compress.pruning.criteria.criterion import Criterion
from keras_compress.pruning.patterns.pattern import Pattern
from keras_compress.pruning.prunable_weights import find_prunable_weights
from keras_compress.pruning.prune_weights import resolve_parts
from keras_reweight.core.state import sync_model
from keras_reweight.core.validation import check_sparsity


def plan_sparsities(
    model: keras.Model,
    sparsity: float,
    *,
    allocation: Allocation,
    criterion: Criterion | None = None,
    pattern: Pattern | None = None,
    layers: Any = None,
) -> dict[str, float]:
    """The sparsity that an allocation gives each variable; nothing is pruned.

    To look at a plan before it is carried out, to correct it by hand, to store it as JSON, or to
    spare a slow allocation the updates of a schedule: `PlanAllocation(plan)` prunes by it.

    Args:
        model: A built `keras.Model`; it need not be compiled.
        sparsity: Float in `[0, 1)`, share of the weights to zero.
        allocation: An `Allocation`.
        criterion: A `Criterion`, what a weight is worth. Defaults to `Magnitude()`.
        pattern: A `Pattern`, which weights go together. Defaults to single weights.
        layers: Layer names, paths, `re.Pattern`, layers, predicates or a list of these; `None`
            takes all kernels and embeddings.

    Returns:
        Dict from the path of a variable to its sparsity, a float in `[0, 1]` (of the units of
        `pattern`).

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If the model is not built, a layer is unknown, nothing can be pruned, a weight
            is NaN, or `sparsity` is outside `[0, 1)` or beyond what `allocation` or `pattern`
            allows.

    Example:

    ```python
    import keras
    import keras_compress as kc

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(16), keras.layers.Dense(4)])
    plan = kc.pruning.plan_sparsities(model, 0.75, allocation=kc.pruning.ERKAllocation())
    allocation = kc.pruning.PlanAllocation(plan)
    report = kc.pruning.prune_weights(model, 0.75, allocation=allocation)
    assert sum(mask.sum() for mask in report.masks.values()) == 48
    ```

    Reference:
        None; the bookkeeping around allocations.

    Cost:
        That of the criterion and the allocation.
    """
    check_sparsity("sparsity", sparsity)
    criterion, allocation = resolve_parts(criterion, allocation)
    pattern = check_pattern(pattern)
    pattern.check(sparsity)
    weights = find_prunable_weights(model, layers, trainable_only=False, caller="plan_sparsities")
    sync_model(model)
    context = PruningContext.of(model, weights, pattern)
    scores = context.units(criterion.scores(model, weights.variables))
    counts = allocation(scores, sparsity, context)
    return {
        path: float(np.clip(count / score.size, 0.0, 1.0))
        for path, count, score in zip(weights.paths, counts, scores, strict=True)
    }
