"""Base of what decides from the weights themselves how much to prune."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from keras_reweight.core.configured import Configured


class SparsityRule(Configured):
    """How much to prune next, from the weights and not from the step.

    Takes the place of a schedule in `Pruning`, which asks it at every update. A subclass defines
    `targets(values, masks)`.

    Args:
        None.

    Returns:
        A rule for the argument `sparsity` of `Pruning`.

    Raises:
        NotImplementedError: If a subclass does not define `targets`.

    Example:

    ```python
    import keras_compress as kc

    class FifthOfTheRest(kc.pruning.SparsityRule):
        def targets(self, values, masks):
            pruned = 1.0 - sum(mask.sum() for mask in masks) / sum(mask.size for mask in masks)
            return pruned + 0.2 * (1.0 - pruned)

    pruning = kc.callbacks.Pruning(FifthOfTheRest(), frequency=50)
    ```

    Reference:
        None; the base class of rules.
    """

    def targets(
        self, values: Sequence[np.ndarray], masks: Sequence[np.ndarray]
    ) -> float | Sequence[int | np.ndarray]:
        """What shall be pruned after the next update.

        Args:
            values: Weights of each variable, float arrays.
            masks: Bool arrays of the same shapes, true where a weight is still there.

        Returns:
            Float in `[0, 1)`, the total sparsity, which the allocation spreads; or for each
            variable the number of units to prune in all: an integer, or an integer array of shape
            `(units,)` with the number for each index of the last axis.
        """
        raise NotImplementedError(f"{type(self).__name__} must define targets(values, masks).")
