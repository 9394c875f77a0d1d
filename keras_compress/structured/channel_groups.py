"""Looking at which channels belong together."""

from __future__ import annotations

import keras

from keras_compress.structured.channel_graph import ChannelGraph
from keras_reweight.core.channels.channel_group import ChannelGroup


class _Groups(list):
    """A list of groups that is a table when it is printed."""

    def __str__(self) -> str:
        return "\n".join(str(group) for group in self)


def channel_groups(model: keras.Model) -> list[ChannelGroup]:
    """The groups of channels of a model that can only go together.

    Look at them before structured pruning: which layers share their channels, how many there are,
    and which names to give to its arguments. `ChannelGraph` also says what stays and why.

    Args:
        model: A built Functional or Sequential `keras.Model`.

    Returns:
        A list of `ChannelGroup` in the order of the layers that make them; `str` of it is a table.

    Raises:
        TypeError: If `model` is not a `keras.Model`.
        ValueError: If `model` is not built or is a subclassed model.

    Example:

    ```python
    import keras
    import keras_compress as kc

    model = keras.Sequential(
        [keras.Input((8,)), keras.layers.Dense(6, name="hidden"), keras.layers.Dense(2)]
    )
    groups = kc.structured.channel_groups(model)
    assert [(group.name, group.size) for group in groups] == [("hidden", 6)]
    ```

    Reference:
        Fang et al., "DepGraph: Towards Any Structural Pruning", arXiv 2301.12900, algorithm 2.
    """
    return _Groups(ChannelGraph(model).groups)
