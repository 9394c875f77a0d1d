"""Channels at random: what every importance has to beat."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np

from keras_compress.structured.channel_graph import ChannelGraph
from keras_compress.structured.importances.channel_importance import ChannelImportance
from keras_reweight.core.channels.channel_group import ChannelGroup
from keras_reweight.core.validation import check_integer


@keras.saving.register_keras_serializable(package="keras_compress")
class RandomImportance(ChannelImportance):
    """Score channels at random, the same for the same seed on every backend.

    The baseline: an importance that is no better after fine-tuning is not worth its data.

    Args:
        seed: Integer >= 0. Defaults to `0`.

    Returns:
        A `ChannelImportance` for `prune_structured`, which also takes `"random"`.

    Raises:
        ValueError: In `scores`, if `seed` is negative.
        TypeError: In `scores`, if `seed` is no integer.

    Example:

    ```python
    import keras
    import keras_compress as kc

    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(8), keras.layers.Dense(2)])
    small = kc.prune_structured(model, 0.5, importance=kc.structured.RandomImportance(seed=1))
    ```

    Reference:
        None; a baseline.
    """

    def __init__(self, seed: int = 0):
        self.seed = seed

    def scores(self, graph: ChannelGraph, groups: Sequence[ChannelGroup]) -> dict[str, np.ndarray]:
        check_integer("seed", self.seed, minimum=0)
        rng = np.random.default_rng(self.seed)
        return {group.name: rng.random(group.size) for group in groups}

    def get_config(self) -> dict:
        return {"seed": self.seed}
