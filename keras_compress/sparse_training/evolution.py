"""Base of what decides how the connections of a sparse model change."""

from __future__ import annotations

import math

import numpy as np

from keras_reweight.core.configured_value import ConfiguredValue
from keras_reweight.core.schedules import (
    ScheduleLike,
    check_schedule_like,
    deserialize_schedule,
    serialize_schedule,
    value_at,
)
from keras_reweight.core.validation import check_number


class Evolution(ConfiguredValue):
    """How the connections of a sparse model change: which weights go, which empty places grow.

    At every update of `SparseTraining`, in each variable, `drop` names weights that go, and `grow`
    as many of the places that are then empty. A subclass defines `grow`, and overrides `drop` for
    another idea of a useless weight. Evolutions are stateless; their randomness comes from the
    generator they are given.

    Args:
        fraction: Float in `[0, 1]`, callable of the step, or `Schedule`: share of the connections
            that change at an update. Defaults to `0.3`.
        end: Float in `(0, 1]`, share of the training after which nothing changes any more.
            Defaults to `1.0`.

    Returns:
        An evolution for the argument `method` of `SparseTraining`.

    Raises:
        TypeError: If `fraction` is neither a number nor callable, or `end` not a number.
        ValueError: If an argument is outside its range; at an update, if a schedule leaves
            `[0, 1]`.

    Example:

    ```python
    import numpy as np
    import keras_compress as kc

    class FirstEmpty(kc.sparse_training.Evolution):
        def grow(self, empty, count, gradient, rng):
            grown = np.zeros(empty.size, "bool")
            grown[np.flatnonzero(empty)[:count]] = True
            return grown.reshape(empty.shape)

    weight = np.array([[3.0, 0.0, -1.0, 2.0]])
    dropped = FirstEmpty().drop(weight, weight != 0, 0.5)
    assert dropped.tolist() == [[False, False, True, False]]
    ```

    Reference:
        None; the base class of evolutions.
    """

    #: Whether `grow` looks at the gradient of all weights, the empty places included.
    needs_gradient = False
    #: Whether a weight that is dropped and grown again at once keeps its value.
    keeps_regrown = True
    #: Standard deviation of the values of grown weights.
    std = 0.0

    def __init__(self, fraction: ScheduleLike = 0.3, *, end: float = 1.0):
        check_schedule_like("fraction", fraction, minimum=0.0, maximum=1.0)
        check_number("end", end, exclusive_minimum=0.0, maximum=1.0)
        self.fraction = fraction
        self.end = end

    def fraction_at(self, step: int, progress: float | None) -> float:
        """Share that changes before `step`; `progress` is the share of the training that is over,
        `None` where nobody knows its length."""
        if progress is not None and progress >= self.end:
            return 0.0
        value = float(value_at(self.fraction, step))
        check_number(f"fraction at step {step}", value, minimum=0.0, maximum=1.0)
        return value

    def drop(self, weight: np.ndarray, mask: np.ndarray, fraction: float) -> np.ndarray:
        """Bool array, true for the connections that go: those of smallest magnitude."""
        # 1e-9: a tenth of thirty must not become two through rounding of the product.
        count = math.floor(fraction * mask.sum() + 1e-9)
        score = np.where(mask, np.abs(weight), np.inf)
        return first_of(np.argsort(score, axis=None, kind="stable"), count, mask.shape)

    def grow(
        self,
        empty: np.ndarray,
        count: int,
        gradient: np.ndarray | None,
        rng: np.random.Generator,
    ) -> np.ndarray:
        """Bool array, true for `count` of the empty places."""
        raise NotImplementedError(f"{type(self).__name__} must define grow(...).")

    def get_config(self) -> dict:
        return {"fraction": serialize_schedule(self.fraction), "end": self.end}

    @classmethod
    def from_config(cls, config: dict):
        return cls(**{**config, "fraction": deserialize_schedule(config["fraction"])})


def first_of(order: np.ndarray, count: int, shape: tuple[int, ...]) -> np.ndarray:
    """Bool array of `shape`, true at the first `count` flat indices of `order`."""
    chosen = np.zeros(int(np.prod(shape)), "bool")
    chosen[order[:count]] = True
    return chosen.reshape(shape)
