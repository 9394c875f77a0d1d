"""Base of what is pruned together; by itself every weight on its own."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from keras_reweight.core.configured import Configured


@keras.saving.register_keras_serializable(package="keras_compress")
class Pattern(Configured):
    """The units in which weights are pruned; this one takes each weight on its own.

    A pattern turns the scores of the weights of a variable into scores of units (`units`) and a
    mask of units back into a mask of weights (`expand`). Units of score `inf` must survive, those
    of `-inf` are pruned already; a pattern keeps the latter so, that masks only grow.

    Args:
        None.

    Returns:
        A `Pattern` for `Pruning` and `prune_weights`.

    Raises:
        ValueError: In `check`, if the pattern cannot reach a sparsity.

    Example:

    ```python
    import keras
    import keras_compress as kc

    class Rows(kc.pruning.Pattern):
        def units(self, score):
            return score.mean(axis=-1)

        def expand(self, mask, shape):
            return mask[..., None].repeat(shape[-1], axis=-1)

        def num_units(self, shape):
            return shape[0]

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)])
    report = kc.pruning.prune_weights(model, 0.5, pattern=Rows())
    (mask,) = report.masks.values()
    assert mask.all(axis=1).sum() == 4 and mask.any(axis=1).sum() == 4
    ```

    Reference:
        None; the base class of patterns.
    """

    def for_variable(self, variable: keras.Variable, layer: Any) -> Pattern:
        """The pattern of one variable of a layer (`None` if no single layer holds it)."""
        return self

    def check(self, sparsity: float) -> None:
        """Raise unless the pattern can reach `sparsity`."""

    def units(self, score: np.ndarray) -> np.ndarray:
        """Scores of units from scores of weights."""
        return score

    def expand(self, mask: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """The mask of weights of `shape` from a mask of units."""
        return mask

    def num_units(self, shape: tuple[int, ...]) -> int:
        """Number of units of a variable of `shape`."""
        return int(np.prod(shape))
