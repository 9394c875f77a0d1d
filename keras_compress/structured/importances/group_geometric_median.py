"""Channels by how far they are from the others."""

from __future__ import annotations

import keras
import numpy as np

from keras_compress.structured.importances.group_importance import GroupImportance


@keras.saving.register_keras_serializable(package="keras_compress")
class GroupGeometricMedian(GroupImportance):
    """Score a channel by the sum of its distances to the other channels (FPGM).

    Small channels are not always useless, and large ones may be: a filter near the geometric
    median of its layer can be replaced by the others. Use it where magnitudes in a layer are all
    alike. For each member with rows `w_c` of weights a channel: `sum over u of |w_c - w_u|_2`.

    Args:
        normalizer: String, as for `GroupImportance`. Defaults to `"mean"`.
        reduction: String, as for `GroupImportance`. Defaults to `"mean"`.

    Returns:
        A `ChannelImportance` for `prune_structured`.

    Raises:
        ValueError: In `scores`, if an argument is none of its choices, or a weight is NaN.

    Example:

    ```python
    import keras
    import keras_compress as kc

    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(8), keras.layers.Dense(2)])
    median = kc.structured.GroupGeometricMedian(reduction="first")
    small = kc.prune_structured(model, 0.5, importance=median)
    ```

    Reference:
        He et al., "Filter Pruning via Geometric Median for Deep Convolutional Neural Networks
        Acceleration", arXiv 1811.00250, equation 6.

    Deviations:
        The paper looks at the layer alone (`reduction="first"`). Torch-Pruning squares the weights
        before it takes distances; the paper does not, nor does this.

    Cost:
        The square of the number of channels of a group, times their weights.
    """

    def __init__(self, *, normalizer: str = "mean", reduction: str = "mean"):
        super().__init__(normalizer=normalizer, reduction=reduction)

    def member(self, rows: np.ndarray) -> np.ndarray:
        # Row by row: all differences at once would need the square of the channels in memory.
        return np.array([np.sqrt(np.square(rows - row).sum(axis=1)).sum() for row in rows])

    def get_config(self) -> dict:
        return {"normalizer": self.normalizer, "reduction": self.reduction}
