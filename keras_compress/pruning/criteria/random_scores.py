"""The lower bound of every criterion."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np

from keras_compress.pruning.criteria.criterion import Criterion
from keras_reweight.core.validation import check_integer


@keras.saving.register_keras_serializable(package="keras_compress")
class RandomScores(Criterion):
    """Score weights by random numbers: the baseline that a criterion has to beat.

    The numbers are uniform in `[0, 1)` and depend on the seed, the position of the variable among
    those that are pruned, and its shape: the same on every backend, in every run and at every
    update of the masks, so that a gradual pruning goes on where it was.

    Args:
        seed: Integer >= 0. Defaults to `0`.

    Returns:
        A `Criterion` for `Pruning` and `prune_weights`.

    Raises:
        TypeError: If `seed` is no integer.
        ValueError: If `seed` is negative.

    Example:

    ```python
    import keras
    import keras_compress as kc

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8)])
    kc.pruning.prune_weights(model, 0.5, criterion=kc.pruning.RandomScores(seed=1))
    assert kc.sparsity_report(model).sparsity == 0.5
    ```

    Reference:
        None; the baseline of the literature on pruning.
    """

    def __init__(self, seed: int = 0):
        check_integer("seed", seed, minimum=0)
        self.seed = seed

    def scores(self, model: keras.Model, variables: Sequence[keras.Variable]) -> list[np.ndarray]:
        return [
            np.random.default_rng([self.seed, position]).random(tuple(variable.shape))
            for position, variable in enumerate(variables)
        ]

    def get_config(self):
        return {"seed": self.seed}
