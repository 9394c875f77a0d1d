"""Sparsities that somebody has chosen."""

from __future__ import annotations

import math
from collections.abc import Mapping

import keras
import numpy as np

from keras_compress.pruning.allocations.allocation import Allocation
from keras_compress.pruning.allocations.min_keep import exact_counts, held_counts
from keras_compress.pruning.prunable_weights import find_prunable_weights
from keras_reweight.core.validation import check_number


@keras.saving.register_keras_serializable(package="keras_compress")
class PlanAllocation(Allocation):
    """Prune each variable to a sparsity of its own.

    For sparsities found elsewhere: by hand, in a paper, by a tuner or by `plan_sparsities`. The
    plan as a whole makes a certain total sparsity, which `total(model)` tells: asked for that,
    every variable gets exactly `round(sparsity * n)` zeros. Asked for less, as by a schedule on its
    way up, all sparsities are scaled by one factor; more is refused. Variables that the plan does
    not name stay dense, and there is no minimum: the plan says what survives. Paths contain the
    names of layers: name those you plan for, since the names that Keras makes up differ between
    models.

    Args:
        sparsities: Dict from the path of a variable, as in `PruningReport.touched`, to a float in
            `[0, 1]`.

    Returns:
        An `Allocation` for `Pruning` and `prune_weights`.

    Raises:
        TypeError: If `sparsities` is no dict of strings and numbers.
        ValueError: If a sparsity is outside `[0, 1]` or there is none; when it is used, if a path
            belongs to no variable that is pruned, or `sparsity` is more than the plan makes.

    Example:

    ```python
    import keras
    import keras_compress as kc

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(16), keras.layers.Dense(4)])
    first, second = (layer.kernel.path for layer in model.layers)
    plan = kc.pruning.PlanAllocation({first: 0.75, second: 0.25})
    report = kc.pruning.prune_weights(model, plan.total(model), allocation=plan)
    assert [int((~mask).sum()) for mask in report.masks.values()] == [96, 16]
    ```

    Reference:
        None; the sparsities are yours.
    """

    def __init__(self, sparsities: Mapping[str, float]):
        if not isinstance(sparsities, Mapping):
            raise TypeError(
                f"`sparsities` must be a dict from paths to shares, got {sparsities!r}."
            )
        if not sparsities:
            raise ValueError("`sparsities` must name at least one variable, got an empty dict.")
        for path, share in sparsities.items():
            if not isinstance(path, str):
                raise TypeError(f"`sparsities` must have paths (strings) as keys, got {path!r}.")
            check_number(f"sparsities[{path!r}]", share, minimum=0.0, maximum=1.0)
        super().__init__(min_keep=0.0)
        self.sparsities = sparsities

    def total(self, model: keras.Model, *, layers=None) -> float:
        """The total sparsity that the plan makes of the chosen weights of a model."""
        weights = find_prunable_weights(model, layers, trainable_only=False, caller="total")
        sizes = [math.prod(variable.shape) for variable in weights.variables]
        return sum(self._planned(weights.paths, sizes)) / sum(sizes)

    def plan(self, scores, sparsity, floors, context):
        if context is None:
            raise ValueError("A PlanAllocation needs the paths of the variables, got no `context`.")
        sizes = [score.size for score in scores]
        planned = self._planned(context.paths, sizes)
        total, whole = round(sparsity * sum(sizes)), sum(planned)
        # Each variable rounds on its own, so the totals may differ by less than one for each.
        if abs(total - whole) <= len(sizes):
            highest = [size - floor for size, floor in zip(sizes, floors, strict=True)]
            return np.minimum(planned, highest).tolist()
        if total > whole:
            raise ValueError(
                f"`sparsity`={sparsity!r} is more than the {whole / sum(sizes):.6f} that the plan "
                "makes of these weights. Prune to that (see `total`), or raise `sparsities`."
            )
        # What the plan keeps is a floor: rounding must not carry a variable beyond it.
        floors = [
            max(floor, size - count)
            for floor, size, count in zip(floors, sizes, planned, strict=True)
        ]
        shares = np.divide(planned, sizes) * (total / whole)
        return exact_counts(shares, sizes, total, floors, held_counts(scores))

    def _planned(self, paths, sizes):
        unknown = sorted(set(self.sparsities) - set(paths))
        if unknown:
            raise ValueError(
                f"`sparsities`: no variable that is pruned has the path {unknown}. Paths to choose "
                f"from: {list(paths)}."
            )
        shares = [self.sparsities.get(path, 0.0) for path in paths]
        return [round(share * size) for share, size in zip(shares, sizes, strict=True)]

    def get_config(self):
        return {"sparsities": dict(self.sparsities)}
