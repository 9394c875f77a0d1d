"""The layer sparsities that change the output least."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_compress.pruning.allocations.allocation import Allocation
from keras_compress.pruning.allocations.distortion_curves import distortion_curves
from keras_compress.pruning.allocations.level_choice import choose_levels
from keras_compress.pruning.allocations.min_keep import (
    exact_counts,
    held_counts,
    prune_total,
    refine_sparsities,
)
from keras_compress.pruning.allocations.weight_reuse import weight_reuse
from keras_reweight.core.no_config import NoConfig
from keras_reweight.core.validation import check_choice, check_integer

_REDUCTIONS = ("max", "mean")
_COSTS = ("params", "macs")


class RateDistortionAllocation(Allocation):
    """Measure what each layer can lose, then spend a common budget where it costs least.

    Every variable is pruned by itself to `levels` sparsities and the change of the model's output
    on a few unlabeled samples is measured, `delta(l, a) = reduce over samples of mean((Y - Y')**2)`
    (logits, where a softmax or sigmoid ends the model). Assuming that the changes add up, dynamic
    programming picks one level for each variable with the least sum under the budget. For one-shot
    pruning, where it pays to know the layers; for schedules of many updates it is slow, there take
    it once through `plan_sparsities`. What is pruned already is never given back.

    At 95 % and more in one step the changes no longer add up: an output that is noise already
    cannot get much worse, and a whole layer may be emptied. Go there in a few rounds with training
    in between, as the paper does (`ExponentialSparsity`), or take `LAMPAllocation`.

    Args:
        data: Inputs `x`, as one array, a tuple `(x,)` or batches; 64 to 1024 samples like those
            the model sees. Labels are ignored.
        levels: Integer >= 1, sparsities tried for each variable. Defaults to `50`.
        reduce: `"max"` takes the sample whose output changes most, `"mean"` the mean. Defaults to
            `"max"`.
        cost: `"params"` budgets weights; `"macs"` multiply-accumulates, and `sparsity` is then the
            share of them that must at least go, not that of the weights. Defaults to `"params"`.
        batch_size: Integer >= 1, for arrays. Defaults to `256`.
        min_keep: Float in `[0, 1)`, share of all prunable weights that must survive in each
            variable, at least one if above 0; smaller variables stay dense. Defaults to `0.0005`.

    Returns:
        An `Allocation` for `Pruning` and `prune_weights`. It holds data and has no config.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If an argument is outside its range; when it is used, if `sparsity` is outside
            `[0, 1)` or leaves less than `min_keep` demands.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_compress as kc

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(16), keras.layers.Dense(4)])
    x = np.random.default_rng(0).normal(size=(32, 8)).astype("float32")
    allocation = kc.pruning.RateDistortionAllocation(x, levels=10)
    report = kc.pruning.prune_weights(model, 0.75, allocation=allocation)
    assert sum(mask.sum() for mask in report.masks.values()) == 48
    ```

    Reference:
        Xu et al., "Efficient Joint Optimization of Layer-Adaptive Weight Pruning in Deep Neural
        Networks", ICCV 2023, arXiv 2308.10438; official code
        github.com/Akimoto-Cris/RD_VIT_PRUNE.

    Deviations:
        The budget is counted in 4000 units, so that memory does not grow with the model; the
        official table has a column for each weight. Survivors may be as many as the budget, there
        they must be fewer, and variables larger than the budget are no error. Small differences to
        the budget are shared by all variables, so that the total is exact (for `"params"`).

    Cost:
        `levels` forward passes over `data` for each variable, a second copy of one variable at a
        time, and the outputs for `data`.
    """

    get_config = NoConfig("it holds data")

    def __init__(
        self,
        data: Any,
        *,
        levels: int = 50,
        reduce: str = "max",
        cost: str = "params",
        batch_size: int = 256,
        min_keep: float = 0.0005,
    ):
        super().__init__(min_keep)
        check_integer("levels", levels, minimum=1)
        check_choice("reduce", reduce, _REDUCTIONS)
        check_choice("cost", cost, _COSTS)
        check_integer("batch_size", batch_size, minimum=1)
        self.data = data
        self.levels = levels
        self.reduce = reduce
        self.cost = cost
        self.batch_size = batch_size

    def plan(self, scores, sparsity, floors, context):
        if context is None:
            raise ValueError("A RateDistortionAllocation needs the model, got no `context`.")
        sizes, held = [score.size for score in scores], held_counts(scores)
        levels = [
            _level_counts(self.levels, *numbers)
            for numbers in zip(sizes, floors, held, strict=True)
        ]
        total = prune_total(sparsity, sizes, floors)
        if self.cost == "params":
            unit_costs, budget = [1.0] * len(sizes), sum(sizes) - total
        else:
            unit_costs = _unit_macs(context, sizes)
            budget = (1.0 - sparsity) * np.dot(unit_costs, sizes)
        costs = [
            unit * (size - counts)
            for unit, size, counts in zip(unit_costs, sizes, levels, strict=True)
        ]
        if (least := sum(cost.min() for cost in costs)) > budget:
            raise ValueError(
                f"`sparsity`={sparsity!r} with `cost`={self.cost!r} cannot be reached: "
                f"`min_keep`={self.min_keep!r} and the pattern keep {least:.0f} of "
                f"{np.dot(unit_costs, sizes):.0f}."
            )
        curves = distortion_curves(
            context, scores, levels, self.data, batch_size=self.batch_size, reduce=self.reduce
        )
        chosen = choose_levels(curves, costs, float(budget))
        counts = [int(level[i]) for level, i in zip(levels, chosen, strict=True)]
        if self.cost == "macs":
            return counts
        shares = refine_sparsities(np.divide(counts, sizes), sizes, total / sum(sizes), floors)
        return exact_counts(shares, sizes, total, floors, held)

    __eq__ = object.__eq__
    __hash__ = object.__hash__
    __repr__ = object.__repr__


def _level_counts(levels, size, floor, held):
    """Different numbers of pruned units to try, none that gives back or prunes too much."""
    counts = np.arange(levels + 1) * size // levels
    return np.unique(np.clip(counts, min(held, size - floor), size - floor))


def _unit_macs(context, sizes):
    reuse = weight_reuse(context.model, context.variables)
    return [
        each * np.prod(variable.shape, dtype="float64") / size
        for each, variable, size in zip(reuse, context.variables, sizes, strict=True)
    ]
