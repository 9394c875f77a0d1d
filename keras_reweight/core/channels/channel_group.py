"""Channels that stay or go together, over all layers they pass through."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from keras_reweight.core.channels.weight_slice import WeightSlice


@dataclass(frozen=True, eq=False)
class ChannelGroup:
    """Channels made by the same layers, with all weights that belong to each of them.

    Two layers whose outputs are added must lose the same channels: they are in one group. Channel
    `c` of a group stands for everything that goes when it goes: its outgoing slices in the layers
    that make it, its values in normalizations and depthwise kernels, and its incoming slices in
    the layers that read it.

    Args:
        name: String, unique in the model: the first layer that makes the channels.
        size: Integer, number of channels that can be chosen one by one.
        kind: `"channels"` of convolutions and embeddings, `"units"` of dense and recurrent layers,
            `"heads"` of attention.
        producers: Tuple of the paths of the layers that make the channels.
        slices: Tuple of `WeightSlice`.

    Returns:
        A record with the arguments as attributes; `str(group)` is one line for people.

    Raises:
        None.

    Example:

    ```python
    import keras
    import keras_compress as kc

    x = keras.Input((8, 8, 3))
    y = keras.layers.Conv2D(4, 3, padding="same", name="first")(x)
    z = keras.layers.Conv2D(4, 3, padding="same", name="second")(y)
    z = keras.layers.GlobalAveragePooling2D()(keras.layers.Add()([y, z]))
    model = keras.Model(x, keras.layers.Dense(2)(z))
    (group,) = kc.structured.channel_groups(model)
    assert group.size == 4 and group.producers == ("first", "second")
    ```

    Reference:
        Fang et al., "DepGraph: Towards Any Structural Pruning", arXiv 2301.12900, section 3.2.
    """

    name: str
    size: int
    kind: Literal["channels", "units", "heads"]
    producers: tuple[str, ...]
    slices: tuple[WeightSlice, ...]

    @property
    def consumers(self) -> tuple[str, ...]:
        """Paths of the layers that read the channels, each once."""
        return tuple(dict.fromkeys(piece.layer for piece in self.slices if piece.role == "in"))

    def __str__(self) -> str:
        made = ", ".join(_shortened(self.producers))
        read = ", ".join(_shortened(self.consumers)) or "nothing"
        return f"{self.name}: {self.size} {self.kind}, made by {made}, read by {read}"


def _shortened(names: Iterable[str], most: int = 3) -> list[str]:
    names = list(names)
    if len(names) <= most + 1:
        return names
    return [*names[:most], f"{len(names) - most} more"]
