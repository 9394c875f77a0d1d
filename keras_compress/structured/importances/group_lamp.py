"""Channels by their share of what would remain."""

from __future__ import annotations

import keras

from keras_compress.structured.importances.group_magnitude import GroupMagnitude


@keras.saving.register_keras_serializable(package="keras_compress")
class GroupLAMP(GroupMagnitude):
    """Score a channel by its magnitude over that of the channels at least as large.

    For one ranking over all groups (`scope="global"`): the largest channel of every group has score
    one, so no group can lose all its channels, and groups in which few channels stand out are
    pruned most. Within a group the order is that of `GroupMagnitude`, with which it therefore
    agrees under `scope="local"`.

    `LAMP(c) = I(c) / sum over u with I(u) >= I(c) of I(u)`, of equal ones the earlier goes first.

    Args:
        p: Float > 0, the exponent of `GroupMagnitude`. Defaults to `2`.
        reduction: String, as for `GroupImportance`. Defaults to `"mean"`.
        bias: Bool, whether biases and offsets count, too. Defaults to `False`.

    Returns:
        A `ChannelImportance` for `prune_structured`, which also takes `"lamp"`.

    Raises:
        ValueError: In `scores`, if an argument is none of its choices, or a weight is NaN.
        TypeError: In `scores`, if `p` is no number, or `bias` no bool.

    Example:

    ```python
    import keras
    import keras_compress as kc

    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(8), keras.layers.Dense(2)])
    small = kc.prune_structured(
        model, 0.5, importance=kc.structured.GroupLAMP(), scope="global"
    )
    ```

    Reference:
        Lee et al., "Layer-adaptive Sparsity for the Magnitude-based Pruning", arXiv 2010.07611,
        equation 4, applied to channels; `LAMPImportance` of github.com/VainF/Torch-Pruning.
    """

    def __init__(self, p: float = 2, *, reduction: str = "mean", bias: bool = False):
        super().__init__(p, normalizer="lamp", reduction=reduction, bias=bias)

    def get_config(self) -> dict:
        return {"p": self.p, "reduction": self.reduction, "bias": self.bias}
