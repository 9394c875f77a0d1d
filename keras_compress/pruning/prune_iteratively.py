"""Score and prune in turns, without training in between."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_compress.pruning.allocations.allocation import Allocation
from keras_compress.pruning.context import PruningContext, check_pattern
from keras_compress.pruning.criteria.criterion import Criterion
from keras_compress.pruning.criteria.synflow import SynFlow
from keras_compress.pruning.layer_collapse import warn_of_collapse
from keras_compress.pruning.lowest_masks import next_masks
from keras_compress.pruning.patterns.pattern import Pattern
from keras_compress.pruning.prunable_weights import find_prunable_weights
from keras_compress.pruning.prune_weights import resolve_parts
from keras_compress.pruning.pruning_report import PruningReport
from keras_reweight.core.state import sync_model
from keras_reweight.core.validation import check_integer, check_sparsity


def prune_iteratively(
    model: keras.Model,
    sparsity: float,
    *,
    criterion: Criterion | None = None,
    rounds: int = 100,
    allocation: Allocation | None = None,
    pattern: Pattern | None = None,
    layers: Any = None,
) -> PruningReport:
    """Zero weights of a model in place in many small rounds, each with new scores.

    Round `k` of `n` goes to the sparsity `1 - (1 - sparsity)^(k / n)`, which takes the same share
    of what is left each time. For criteria whose scores depend on what is still there: `SynFlow`,
    which needs it, and `SNIP` or `GraSP`, which then keep layers alive at extreme sparsity. Not for
    `Magnitude` and `RandomScores`, whose scores do not change. What has been pruned stays pruned.
    The model is as before if anything goes wrong.

    Args:
        model: A built `keras.Model`; it need not be compiled.
        sparsity: Float in `[0, 1)`, share of the weights to zero in the end.
        criterion: A `Criterion`. Defaults to `SynFlow()`.
        rounds: Integer >= 1. Defaults to `100`.
        allocation: An `Allocation`. Defaults to `GlobalAllocation()`.
        pattern: A `Pattern`, which weights go together. Defaults to single weights.
        layers: Layer names, paths, `re.Pattern`, layers, predicates or a list of these; `None`
            takes all kernels and embeddings.

    Returns:
        A `PruningReport`; its `masks` are bool arrays of the shapes of the variables.

    Raises:
        TypeError: If `sparsity` is not a number, or `criterion`, `allocation` or `pattern` of
            another kind.
        ValueError: If the model is not built, a layer is unknown, nothing can be pruned, a weight
            is NaN, `rounds` is below 1, or `sparsity` is outside `[0, 1)` or beyond what
            `allocation` or `pattern` allows.

    Example:

    ```python
    import keras
    import keras_compress as kc

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(16), keras.layers.Dense(4)])
    report = kc.pruning.prune_iteratively(model, 0.75, rounds=5)
    assert sum(mask.sum() for mask in report.masks.values()) == 48
    ```

    Reference:
        Tanaka et al., "Pruning neural networks without any data by iteratively conserving synaptic
        flow", NeurIPS 2020, arXiv 2006.05467, algorithm 1; for SNIP, de Jorge et al., "Progressive
        Skeletonization", ICLR 2021, arXiv 2006.09081 (its iterative SNIP).

    Cost:
        `rounds` times what the criterion costs, and a ranking of all weights on the host.
    """
    check_sparsity("sparsity", sparsity)
    check_integer("rounds", rounds, minimum=1)
    criterion, allocation = resolve_parts(SynFlow() if criterion is None else criterion, allocation)
    pattern = check_pattern(pattern)
    pattern.check(sparsity)
    weights = find_prunable_weights(model, layers, trainable_only=False, caller="prune_iteratively")
    sync_model(model)
    context = PruningContext.of(model, weights, pattern)
    allocation.check(context.num_units(), sparsity)
    variables = weights.variables
    before = [ops.copy(ops.convert_to_tensor(variable)) for variable in variables]
    masks = [np.ones(tuple(variable.shape), "bool") for variable in variables]
    try:
        for number in range(1, rounds + 1):
            level = sparsity if number == rounds else 1.0 - (1.0 - sparsity) ** (number / rounds)
            scores = criterion.scores(model, variables)
            masks = next_masks(scores, allocation, level, masks, context)
            for variable, value, mask in zip(variables, before, masks, strict=True):
                variable.assign(ops.where(ops.convert_to_tensor(mask), value, 0))
        warn_of_collapse(dict(zip(weights.paths, masks, strict=True)), "prune_iteratively")
    except BaseException:
        for variable, value in zip(variables, before, strict=True):
            variable.assign(value)
        raise
    touched = {path: mask.size for path, mask in zip(weights.paths, masks, strict=True)}
    return PruningReport(touched, weights.skipped, dict(zip(weights.paths, masks, strict=True)))
