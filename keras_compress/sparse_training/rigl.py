"""Weak connections go, those with the largest gradients come."""

from __future__ import annotations

import math

import keras
import numpy as np

from keras_compress.sparse_training.evolution import Evolution, first_of
from keras_reweight.core.schedules import ScheduleLike


@keras.saving.register_keras_serializable(package="keras_compress")
class RigL(Evolution):
    """The rigged lottery: weak connections go, those with the largest gradients come.

    Finds better connections than random growth and in fewer updates. With the share `p` of the
    training over, each variable drops `fraction / 2 * (1 + cos(pi * p / end))` of its connections,
    those of smallest magnitude, and grows as many where the gradient of the loss is largest in
    magnitude, whether there is a weight or not. New weights begin at zero. After the share `end`
    of the training the connections stay, so that it converges.

    Needs to know the length of the training: pass `steps_per_epoch` to `fit` for data of unknown
    length.

    Args:
        fraction: Float in `[0, 1]`, callable of the step, or `Schedule`: share of the connections
            that change at the first update. Defaults to `0.3`.
        end: Float in `(0, 1]`, share of the training after which nothing changes any more.
            Defaults to `0.75`.

    Returns:
        An `Evolution` for the argument `method` of `SparseTraining`.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If an argument is outside its range.

    Example:

    ```python
    import numpy as np
    import keras_compress as kc

    rigl = kc.sparse_training.RigL(0.3, end=0.75)
    assert abs(rigl.fraction_at(step=100, progress=0.375) - 0.15) < 1e-12
    empty, gradient = np.array([[True, True, False]]), np.array([[0.1, -2.0, 9.0]])
    grown = rigl.grow(empty, 1, gradient, np.random.default_rng(0))
    assert grown.tolist() == [[False, True, False]]
    ```

    Reference:
        Evci et al., "Rigging the Lottery: Making All Tickets Winners", arXiv 1911.11134,
        algorithm 1 and equation 1; official code github.com/google-research/rigl.

    Deviations:
        The gradient is that of the step before the update, so that no step goes without training
        the weights; the official code spends the step. It also adds noise of 1e-5 to magnitudes to
        break ties; here the lower index goes first.

    Cost:
        The gradient of all weights is computed anyway; keeping the last one takes four bytes a
        weight on the device and one copy a step.
    """

    needs_gradient = True

    def __init__(self, fraction: ScheduleLike = 0.3, *, end: float = 0.75):
        super().__init__(fraction, end=end)

    def fraction_at(self, step, progress):
        if progress is None:
            raise ValueError(
                "`method`: RigL must know the length of the training, and the data do not tell. "
                "Pass `steps_per_epoch` to `fit`."
            )
        return super().fraction_at(step, progress) * _cosine(progress / self.end)

    def grow(self, empty, count, gradient, rng):
        score = np.where(empty, -np.abs(gradient), np.inf)
        return first_of(np.argsort(score, axis=None, kind="stable"), count, empty.shape)


def _cosine(progress):
    return 0.5 * (1.0 + math.cos(math.pi * min(progress, 1.0)))
