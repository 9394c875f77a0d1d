"""Segmentation loss of volumes and of their maximum intensity projections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_reweight.core.loss_resolution import resolve_loss
from keras_reweight.core.validation import check_boolean, check_integer, check_number
from keras_reweight.losses._regions import as_probabilities
from keras_reweight.losses.focal_tversky import FocalTverskyLoss


@keras.saving.register_keras_serializable(package="keras_reweight")
class MIPLoss(keras.losses.Loss):
    """Compares volumes and what one sees of them from the side.

    Use it to segment thin connected structures such as vessels: a gap of one voxel hardly changes
    an overlap, but is visible in a maximum intensity projection (MIP). The value of a sample is
    `volume_weight * base(p, y) + mip_weight * sum_axes base(max_axis p, max_axis y)`. The gradient
    of a projection goes to the brightest voxel of each ray.

    Args:
        base_loss: Loss of probabilities for volumes and projections, as `compile` takes it, or
            `None` for `FocalTverskyLoss()`. Defaults to `None`.
        axes: List of integers, axes of the predictions to project along, neither the first (batch)
            nor the last (channels); `[1, 2, 3]` are the three directions of a volume. Defaults to
            `(-2,)`, the last spatial axis.
        volume_weight: Float >= 0. Defaults to `0.7`.
        mip_weight: Float >= 0. Defaults to `0.3`.
        from_logits: Boolean, whether the predictions are logits of a sigmoid; the base loss gets
            probabilities in any case. Defaults to `False`.
        reduction: Any reduction of Keras. Defaults to `"sum_over_batch_size"`.
        name: String, name of the loss. Defaults to `"mip_loss"`.
        dtype: Dtype of the computation. Defaults to `None`: `keras.config.floatx()`.

    Returns:
        Called with labels and predictions of shape `(batch, height, width, channels)` or
        `(batch, depth, height, width, channels)`: the reduced loss, one value per sample.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If a number is out of its range, `axes` is empty, or, on a call, the shapes do
            not fit or an axis is that of the batch or of the channels.

    Example:

    ```python
    import numpy as np
    import keras_reweight as kr

    rng = np.random.default_rng(0)
    labels = (rng.random((2, 3, 4, 5, 1)) > 0.8).astype("float32")
    value = kr.losses.MIPLoss(axes=[1, 2, 3])(labels, rng.random((2, 3, 4, 5, 1)))
    ```

    Reference:
        Radhakrishna et al., "SPOCKMIP: Segmentation of Vessels in MRAs with Enhanced Continuity
        using Maximum Intensity Projection as Loss", arXiv 2407.08655.

    Deviations:
        Labels are projected from the patch at hand; the official code cuts the projection of the
        whole volume, which shows vessels outside of a patch. Its volume term pools the batch, ours
        is per sample. There is no deep supervision here: weight several outputs in `compile`.

    Cost:
        One maximum and one base loss per axis.
    """

    def __init__(
        self,
        base_loss: Any = None,
        *,
        axes: Sequence[int] = (-2,),
        volume_weight: float = 0.7,
        mip_weight: float = 0.3,
        from_logits: bool = False,
        reduction: str | None = "sum_over_batch_size",
        name: str = "mip_loss",
        dtype=None,
    ):
        if not isinstance(axes, (list, tuple)):
            raise TypeError(f"`axes` must be a list of integers, got {axes!r}.")
        if not axes:
            raise ValueError(f"`axes` must name at least one axis, got {axes!r}, which is empty.")
        for axis in axes:
            check_integer("axes", axis)
        check_number("volume_weight", volume_weight, minimum=0.0)
        check_number("mip_weight", mip_weight, minimum=0.0)
        check_boolean("from_logits", from_logits)
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        resolved = FocalTverskyLoss() if base_loss is None else resolve_loss(base_loss, "base_loss")
        self.base_loss = base_loss
        self.axes = axes
        self.volume_weight = volume_weight
        self.mip_weight = mip_weight
        self.from_logits = from_logits
        self._base = resolved

    def call(self, y_true, y_pred):
        labels, found = as_probabilities(y_true, y_pred, self.from_logits)
        rank = len(found.shape)
        value = self.volume_weight * self._per_sample(labels, found)
        for axis in self.axes:
            position = axis + rank if axis < 0 else axis
            if not 0 < position < rank - 1:
                raise ValueError(
                    f"{self.name}: `axes`={self.axes!r} must be spatial axes, between the batch "
                    f"and the channels of predictions of shape {tuple(found.shape)}."
                )
            projected = ops.max(labels, axis=position), ops.max(found, axis=position)
            value = value + self.mip_weight * self._per_sample(*projected)
        return value

    def _per_sample(self, labels, found):
        values = self._base.call(labels, found)
        if len(values.shape) == 0:
            raise ValueError(
                f"{self.name}: `base_loss`={self.base_loss!r} gives one scalar for the batch; it "
                "must give one value per sample."
            )
        return ops.mean(values, axis=tuple(range(1, len(values.shape))))

    def get_config(self) -> dict:
        serialized = keras.saving.serialize_keras_object(self.base_loss)
        return {
            **super().get_config(),
            "base_loss": serialized,
            "axes": list(self.axes),
            "volume_weight": self.volume_weight,
            "mip_weight": self.mip_weight,
            "from_logits": self.from_logits,
        }

    @classmethod
    def from_config(cls, config: dict):
        base_loss = keras.saving.deserialize_keras_object(config["base_loss"])
        return cls(**{**config, "base_loss": base_loss})
