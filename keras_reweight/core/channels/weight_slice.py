"""Which positions of a weight belong to which channels of a group."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np


@dataclass(frozen=True, eq=False)
class WeightSlice:
    """Positions along one axis of a weight that go when channels of a group go.

    Read it to score channels by the weights that belong to them, or to change the weights that read
    a channel before it goes. A channel may have several positions, as after a `Flatten`.

    Args:
        layer: String, path of the layer that holds the weight.
        variable: String, key of the weight in `ChannelGraph.variables`.
        axis: Integer, the axis of the weight.
        index: Integer array of shape `(n,)`, ascending positions along that axis.
        channel: Integer array of shape `(n,)`, the channel of the group each position belongs to.
        role: `"out"` where the weight makes the channels, `"in"` where it reads them,
            `"channelwise"` where every channel has values of its own (biases of the maker are
            `"out"`).

    Returns:
        A record with the arguments as attributes.

    Raises:
        None.

    Example:

    ```python
    import keras
    import keras_compress as kc

    model = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(4, name="hidden"), keras.layers.Dense(2)]
    )
    (group,) = kc.structured.channel_groups(model)
    assert [piece.role for piece in group.slices] == ["out", "out", "in"]
    ```

    Reference:
        None; a part of `ChannelGroup`.
    """

    layer: str
    variable: str
    axis: int
    index: np.ndarray
    channel: np.ndarray
    role: Literal["out", "in", "channelwise"]
