"""Samples with the highest or lowest losses left out."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_reweight.core.ranking import floor_share, ranks
from keras_reweight.core.schedules import (
    ScheduleLike,
    check_schedule_like,
    deserialize_schedule,
    serialize_schedule,
)
from keras_reweight.weightings._masked import num_valid, uniform_weights
from keras_reweight.weightings._scheduled import scheduled_value
from keras_reweight.weightings._wrapper import check_weighting
from keras_reweight.weightings.weighting import Weighting


@keras.saving.register_keras_serializable(package="keras_reweight")
class Truncated(Weighting):
    """Drop a share of the highest or lowest losses of every batch.

    Use it against mislabeled samples (`drop_highest` near their share: the trimmed or truncated
    loss) or to spend nothing on samples that are learned (`drop_lowest`).

    Of `n` losses the `floor(drop_highest * n)` highest and the `floor(drop_lowest * n)` lowest get
    weight zero; ties are broken by position, and one sample is always left. The others get the
    weights that `weighting` gives to a batch without the dropped ones, or weights with mean one
    over the batch, so that the loss is the mean of what is left.

    Args:
        weighting: The `Weighting` of the samples that are kept, or `None` for equal weights.
            Defaults to `None`.
        drop_highest: Float in [0, 1), schedule or callable of the step, share of samples with the
            highest losses to drop. Defaults to `0.0`.
        drop_lowest: Float in [0, 1), schedule or callable of the step, share of samples with the
            lowest losses to drop; plain numbers add up to less than 1. Defaults to `0.0`.

    Returns:
        Called with losses of shape `(batch,)`: float32 weights of shape `(batch,)`, normalized as
        those of `weighting`, mean one without it.

    Raises:
        TypeError: If `weighting` is no `Weighting`, or a share neither a number nor a callable.
        ValueError: If a share is outside [0, 1) or the two add up to 1 or more; on a call, if one
            follows a schedule and no `step` is given, and what `weighting` raises.

    Example:

    ```python
    import numpy as np
    import keras_reweight as kr

    weights = kr.weightings.Truncated(drop_highest=0.2)(np.array([0.2, 0.5, 9.0, 2.0, 1.0]))
    ```

    Reference:
        Shen and Sanghavi, "Learning with Bad Training Data via Iterative Trimmed Loss
        Minimization", ICML 2019, arXiv 1810.11874; Han et al., "Co-teaching", NeurIPS 2018,
        arXiv 1804.06872 (share of dropped samples that grows with the epochs).

    Deviations:
        The losses of the batch are ranked, not those of the whole training set.

    Cost:
        Two sorts of `(batch,)` values besides the weighting inside.
    """

    normalization: str | None = "mean_one"

    def __init__(
        self,
        weighting: Weighting | None = None,
        *,
        drop_highest: ScheduleLike = 0.0,
        drop_lowest: ScheduleLike = 0.0,
    ):
        if weighting is not None:
            check_weighting("weighting", weighting)
        shares: dict[str, Any] = {"drop_highest": drop_highest, "drop_lowest": drop_lowest}
        for name, share in shares.items():
            check_schedule_like(name, share, minimum=0.0, exclusive_maximum=1.0)
        numbers = [share for share in shares.values() if not callable(share)]
        if len(numbers) == 2 and sum(numbers) >= 1.0:
            raise ValueError(
                f"`drop_highest`={drop_highest!r} and `drop_lowest`={drop_lowest!r} must add up to "
                "less than 1."
            )
        self.weighting = weighting
        self.drop_highest = drop_highest
        self.drop_lowest = drop_lowest
        if weighting is not None:
            self.normalization = weighting.normalization
            self.reads = tuple(weighting.reads)
            self.stop_gradient = weighting.stop_gradient

    def weights(self, losses, valid, y_true=None, y_pred=None, step=None):
        kept = self._kept(ops.stop_gradient(losses), valid, step)
        if self.weighting is not None:
            return self.weighting(losses, y_true, y_pred, kept, step)
        return uniform_weights(kept, "sum_one", losses.dtype) * num_valid(valid, losses.dtype)

    def _kept(self, losses, valid, step):
        """Which entries are neither among the highest nor among the lowest."""
        count = num_valid(valid, losses.dtype)
        dropped = []
        for name in ("drop_highest", "drop_lowest"):
            share = scheduled_value(name, getattr(self, name), step, losses)
            dropped.append(floor_share(ops.clip(share, 0.0, 1.0), count))
        highest = ops.minimum(dropped[0], ops.maximum(count - 1.0, 0.0))
        lowest = ops.minimum(dropped[1], ops.maximum(count - 1.0 - highest, 0.0))
        # Entries that do not count rank above all others.
        comparable = ops.where(valid, losses, ops.full_like(losses, float("inf")))
        rank = ops.cast(ranks(ops.reshape(comparable, (-1,))), losses.dtype)
        rank = ops.reshape(rank, ops.shape(losses))
        inside = ops.logical_and(rank >= lowest, rank < count - highest)
        return ops.logical_and(valid, inside)

    def get_config(self) -> dict:
        weighting = self.weighting
        if weighting is not None:
            weighting = keras.saving.serialize_keras_object(weighting)
        return {
            "weighting": weighting,
            "drop_highest": serialize_schedule(self.drop_highest),
            "drop_lowest": serialize_schedule(self.drop_lowest),
        }

    @classmethod
    def from_config(cls, config: dict):
        config = dict(config)
        if config["weighting"] is not None:
            config["weighting"] = keras.saving.deserialize_keras_object(config["weighting"])
        for name in ("drop_highest", "drop_lowest"):
            config[name] = deserialize_schedule(config[name])
        return cls(**config)
