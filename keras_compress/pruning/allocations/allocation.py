"""Base of what decides where weights go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from keras_compress.pruning.allocations.min_keep import floor_counts
from keras_reweight.core.configured_value import ConfiguredValue
from keras_reweight.core.validation import check_number, check_sparsity

if TYPE_CHECKING:
    from keras_compress.pruning.context import PruningContext


class Allocation(ConfiguredValue):
    """Spreads a total sparsity over the variables of a model.

    `allocation(scores, sparsity)` gives the number of weights to prune in each variable; which
    ones follows from the scores within the variable. Scores of `-inf` mark weights that are
    pruned already, scores of `inf` those that a pattern keeps. Subclasses define
    `counts(scores, sparsity, floors)`, where `floors` are the numbers of weights that must survive
    in each variable, or `plan(scores, sparsity, floors, context)` if they look at the model. With
    a pattern, scores, counts and floors are those of its units.

    Args:
        min_keep: Float in `[0, 1)`, share of all prunable weights that must survive in each
            variable (`0.0005` is the `0.05` percent of the reference code); smaller variables
            stay dense. It guards against a layer losing all its weights. Defaults to `0.0005`.

    Returns:
        A callable `(scores, sparsity) -> list of int`, where `scores` is a list of float arrays of
        the shapes of the variables.

    Raises:
        TypeError: If `min_keep` is not a number.
        ValueError: If `min_keep` is outside `[0, 1)`; when called, if `sparsity` is outside
            `[0, 1)` or leaves less than `min_keep` demands.

    Example:

    ```python
    import numpy as np
    import keras_compress as kc

    class FirstOnly(kc.pruning.Allocation):
        def counts(self, scores, sparsity, floors):
            return [round(sparsity * scores[0].size)] + [0] * (len(scores) - 1)

    assert FirstOnly(min_keep=0.0)([np.ones(10), np.ones(10)], 0.5) == [5, 0]
    ```

    Reference:
        None; the base class of allocations.
    """

    def __init__(self, min_keep: float = 0.0005):
        check_number("min_keep", min_keep, minimum=0.0, exclusive_maximum=1.0)
        self.min_keep = min_keep

    def __call__(
        self,
        scores: Sequence[np.ndarray],
        sparsity: float,
        context: PruningContext | None = None,
    ) -> list[int]:
        sizes = [score.size for score in scores]
        self.check(sizes, sparsity)
        floors = [
            max(floor, int(np.isposinf(score).sum()))
            for floor, score in zip(floor_counts(sizes, self.min_keep), scores, strict=True)
        ]
        return [int(n) for n in self.plan(scores, sparsity, floors, context)]

    def check(self, sizes: Sequence[int], sparsity: float) -> None:
        """Raise unless variables of these sizes can reach `sparsity`."""
        check_sparsity("sparsity", sparsity)
        floors = floor_counts(sizes, self.min_keep)
        highest = 1.0 - sum(floors) / sum(sizes)
        if sparsity > highest + 1e-12:
            raise ValueError(
                f"`sparsity`={sparsity!r} cannot be reached with `min_keep`={self.min_keep!r}: "
                f"{sum(floors)} of {sum(sizes)} weights must survive, so at most {highest:.6f} can "
                "be pruned. Lower `min_keep` or `sparsity`."
            )

    def plan(self, scores, sparsity, floors, context):
        return self.counts(scores, sparsity, floors)

    def counts(self, scores, sparsity, floors):
        raise NotImplementedError(f"{type(self).__name__} must define counts(...).")

    def get_config(self) -> dict:
        return {"min_keep": self.min_keep}
