"""Base of what decides which channels matter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_compress.structured.channel_graph import ChannelGraph
from keras_reweight.core.channels.channel_group import ChannelGroup


class ChannelImportance:
    """Scores channels: where a model is made smaller, the lowest scores go first.

    Derive from it to rank channels by something of your own; `GroupImportance` is the shorter way
    for sums over the weights of a channel. Importances are stateless and know nothing of ratios.

    Args:
        None.

    Returns:
        An object whose `scores(graph, groups)` gives a float array of shape `(group.size,)` for
        each `ChannelGroup`, in a dict by the names of the groups.

    Raises:
        NotImplementedError: In `scores`, if a subclass does not define it.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_compress as kc

    class KeepFirst(kc.structured.ChannelImportance):
        def scores(self, graph, groups):
            return {group.name: -np.arange(group.size, dtype="float64") for group in groups}

    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(8), keras.layers.Dense(2)])
    small = kc.prune_structured(model, 0.5, importance=KeepFirst())
    kept, original = (each.layers[0].get_weights()[0] for each in (small, model))
    np.testing.assert_array_equal(kept, original[:, :4])
    ```

    Reference:
        None; the base class of importances of channels.
    """

    def scores(self, graph: ChannelGraph, groups: Sequence[ChannelGroup]) -> dict[str, np.ndarray]:
        raise NotImplementedError(f"{type(self).__name__} must define scores(graph, groups).")

    def get_config(self) -> dict[str, Any]:
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> ChannelImportance:
        return cls(**config)

    def __repr__(self) -> str:
        # Those that hold data have none.
        config: dict[str, Any] = getattr(self, "get_config", dict)()
        arguments = ", ".join(f"{key}={value!r}" for key, value in config.items())
        return f"{type(self).__name__}({arguments})"
