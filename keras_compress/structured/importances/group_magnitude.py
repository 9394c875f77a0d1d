"""Channels by the size of their weights."""

from __future__ import annotations

import keras
import numpy as np

from keras_compress.structured.importances.group_importance import GroupImportance
from keras_reweight.core.validation import check_number


@keras.saving.register_keras_serializable(package="keras_compress")
class GroupMagnitude(GroupImportance):
    """Score a channel by the size of its weights in all layers it touches.

    The strongest importance that needs no data. For channel `c` of a group with members `m`:

    `I(c) = mean over m of sum over the weights w of c in m of |w|^p`, then `I / mean(I)`.

    The sum has no root. With `p=1`, `reduction="first"` and `normalizer="none"` it is the filter
    norm of older work, blind to the layers behind.

    Args:
        p: Float > 0, the exponent. Defaults to `2`.
        normalizer: String, as for `GroupImportance`. Defaults to `"mean"`.
        reduction: String, as for `GroupImportance`. Defaults to `"mean"`.
        bias: Bool, whether biases and offsets count, too. Defaults to `False`.

    Returns:
        A `ChannelImportance` for `prune_structured`, which also takes `"magnitude"`.

    Raises:
        ValueError: In `scores`, if an argument is none of its choices, or a weight is NaN.
        TypeError: In `scores`, if `p` is no number, or `bias` no bool.

    Example:

    ```python
    import keras
    import keras_compress as kc

    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(8), keras.layers.Dense(2)])
    small = kc.prune_structured(model, 0.5, importance=kc.structured.GroupMagnitude(p=1))
    assert small.layers[0].units == 4
    ```

    Reference:
        Fang et al., "DepGraph: Towards Any Structural Pruning", arXiv 2301.12900, section 3.3;
        `GroupMagnitudeImportance` of github.com/VainF/Torch-Pruning.

    Deviations:
        Torch-Pruning leaves depthwise kernels out; here they are members as any other kernel.
        Recurrent, embedding and attention kernels, which it does not know, are members, too.
    """

    def __init__(
        self,
        p: float = 2,
        *,
        normalizer: str = "mean",
        reduction: str = "mean",
        bias: bool = False,
    ):
        super().__init__(normalizer=normalizer, reduction=reduction, bias=bias)
        self.p = p

    def member(self, rows: np.ndarray) -> np.ndarray:
        return np.sum(np.abs(rows) ** self.p, axis=1)

    def check(self) -> None:
        super().check()
        check_number("p", self.p, exclusive_minimum=0.0)

    def get_config(self) -> dict:
        return {"p": self.p, **super().get_config()}
