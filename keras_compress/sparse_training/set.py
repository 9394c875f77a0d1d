"""Weak connections go, random ones come."""

from __future__ import annotations

import keras
import numpy as np

from keras_compress.sparse_training.evolution import Evolution, first_of
from keras_reweight.core.schedules import ScheduleLike
from keras_reweight.core.validation import check_boolean, check_number


@keras.saving.register_keras_serializable(package="keras_compress")
class SET(Evolution):
    """Sparse evolutionary training: weak connections go, as many random ones come.

    The simplest way to find good connections while training with few: no gradients of absent
    weights, hardly any cost. `sign_wise` drops the share `fraction` of the positive weights and of
    the negative ones, those closest to zero; the weight at the cut goes too, and so does everything
    that is exactly zero. A place that was just emptied may be drawn again and then begins anew.

    Args:
        fraction: Float in `[0, 1]`, callable of the step, or `Schedule`: share of the connections
            that change at an update. Defaults to `0.3`.
        sign_wise: Boolean, whether positive and negative weights are ranked apart; if false, all
            are ranked by magnitude. Defaults to `True`.
        std: Float >= 0, standard deviation of the normal distribution new weights are drawn from;
            with `0.0` they begin at zero. Defaults to `0.1`.
        end: Float in `(0, 1]`, share of the training after which nothing changes any more.
            Defaults to `1.0`.

    Returns:
        An `Evolution` for the argument `method` of `SparseTraining`.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If an argument is outside its range.

    Example:

    ```python
    import numpy as np
    import keras_compress as kc

    weight = np.array([[-4.0, -3.0, -0.2, 0.1, 5.0, 6.0]])
    dropped = kc.sparse_training.SET(0.3).drop(weight, weight != 0, 0.3)
    assert dropped.tolist() == [[False, False, True, True, False, False]]
    ```

    Reference:
        Mocanu et al., "Scalable training of artificial neural networks with adaptive sparse
        connectivity inspired by network science", Nature Communications 2018, arXiv 1707.04780;
        the cuts as in github.com/zahraatashgahi/QuickSelection.

    Deviations:
        The official code takes the weight nearest to zero for the border between the signs, which
        is off by one for some matrices; here the sign decides.
    """

    keeps_regrown = False

    def __init__(
        self,
        fraction: ScheduleLike = 0.3,
        *,
        sign_wise: bool = True,
        std: float = 0.1,
        end: float = 1.0,
    ):
        check_boolean("sign_wise", sign_wise)
        check_number("std", std, minimum=0.0)
        super().__init__(fraction, end=end)
        self.sign_wise = sign_wise
        self.std = std

    def drop(self, weight, mask, fraction):
        if not self.sign_wise:
            return super().drop(weight, mask, fraction)
        if fraction == 0.0:
            return np.zeros(mask.shape, "bool")
        kept = np.zeros(mask.shape, "bool")
        positive = np.sort(weight[mask & (weight > 0)])
        negative = np.sort(weight[mask & (weight < 0)])
        if positive.size:
            kept |= mask & (
                weight > positive[min(int(fraction * positive.size), positive.size - 1)]
            )
        if negative.size:
            cut = min(int((1.0 - fraction) * negative.size), negative.size - 1)
            kept |= mask & (weight < negative[cut])
        return mask & ~kept

    def grow(self, empty, count, gradient, rng):
        return first_of(rng.permutation(np.flatnonzero(empty)), count, empty.shape)

    def get_config(self):
        return {**super().get_config(), "sign_wise": self.sign_wise, "std": self.std}
