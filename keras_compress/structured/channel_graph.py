"""Which channels of a model belong together, and the model without some of them."""

from __future__ import annotations

from collections.abc import Mapping

import keras
import numpy as np

from keras_compress.structured.rebuild import rebuild_pruned
from keras_reweight.core.channels import ChannelMap
from keras_reweight.core.channels.groups import variable_key
from keras_reweight.core.state import sync_model


class ChannelGraph(ChannelMap):
    """The channels of a model, grouped by what makes them, and the model without some of them.

    Every channel position of every tensor is followed through the layers; positions that meet in
    an addition, a product, a shared layer, a normalization or a recurrent kernel are united.
    Inputs and outputs of the model keep their size, and so does everything that an unknown layer
    reads or makes: `frozen` says what and why.

    Use it to prune by your own choice of channels. `prune_structured` chooses by importance. Models
    that are subclassed are called by code that nothing can follow; zero their weights instead
    (`prune_weights`), or build them with `keras.Model(inputs, outputs)`.

    Args:
        model: A built Functional or Sequential `keras.Model`, models inside it included.

    Returns:
        An object with the attributes `model`, `groups` (a list of `ChannelGroup`), `frozen` (dict
        from the path of a layer to the reason why its channels stay), `inexact` (dict from the path
        of a normalization over channels to what happens there) and `variables` (dict from
        `WeightSlice.variable` to the `keras.Variable`).

    Raises:
        TypeError: If `model` is not a `keras.Model`.
        ValueError: If `model` is not built or is a subclassed model, or if a choice of channels
            names an unknown group, has the wrong size or keeps nothing.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_compress as kc

    model = keras.Sequential(
        [
            keras.Input((8,)),
            keras.layers.Dense(6, activation="relu", name="hidden"),
            keras.layers.Dense(2),
        ]
    )
    graph = kc.structured.ChannelGraph(model)
    small = graph.rebuild({"hidden": np.array([True, False, True, True, False, True])})
    assert small.get_layer("hidden").units == 4
    ```

    Reference:
        Fang et al., "DepGraph: Towards Any Structural Pruning", arXiv 2301.12900; Wang et al.,
        "Structurally Prune Anything", arXiv 2403.18955.

    Deviations:
        Both map the indices of channels from layer to layer. Here each position has a number of its
        own and union-find does the rest, which makes concatenation, flattening and shared layers
        ordinary cases. An unknown layer freezes its channels instead of raising.

    Cost:
        No forward pass. Time grows with the number of layers and channels, not of weights.
    """

    def __init__(self, model: keras.Model):
        super().__init__(
            model,
            caller="ChannelGraph",
            advice=", or use `keras_compress.pruning.prune_weights`, which needs no graph.",
        )
        self.inexact: dict[str, str] = {
            self.trace.paths[key]: "normalizes over the channels: those that stay change"
            for key, tensor in self.trace.across.items()
            if (self.group_of[tensor.atoms] >= 0).any()
        }

    def check_keep(self, keep: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """A mask for every group; groups that `keep` does not name are kept whole."""
        for name in keep:
            self.group(name)
        masks = {}
        for group in self.groups:
            mask = np.asarray(keep.get(group.name, np.ones(group.size, bool)))
            if mask.dtype != bool or mask.shape != (group.size,):
                raise ValueError(
                    f"`keep`[{group.name!r}] must be bool of shape ({group.size},), got "
                    f"{mask.dtype} of shape {mask.shape}."
                )
            if not mask.any():
                raise ValueError(f"`keep`[{group.name!r}] keeps no channel, {mask.tolist()}.")
            masks[group.name] = mask
        return masks

    def alive(self, keep: Mapping[str, np.ndarray]) -> np.ndarray:
        """For every atom (channel position) of the graph whether it stays."""
        masks = self.check_keep(keep)
        alive = np.ones(self.group_of.size, bool)
        if not self.groups:
            return alive
        starts = np.cumsum([0, *(group.size for group in self.groups)])
        stays = np.concatenate(list(masks.values()))
        free = self.group_of >= 0
        alive[free] = stays[starts[self.group_of[free]] + self.channel_of[free]]
        return alive

    def kept_positions(self, keep: Mapping[str, np.ndarray]) -> dict[tuple[str, int], np.ndarray]:
        """`(variable key, axis)` to the positions that stay, for every axis that loses some."""
        alive = self.alive(keep)
        kept = {}
        for binding in self.trace.bindings.values():
            stays = alive[binding.atoms]
            if not stays.all():
                kept[variable_key(binding), binding.axis] = np.flatnonzero(stays)
        return kept

    def rebuild(self, keep: Mapping[str, np.ndarray]) -> keras.Model:
        """A new, uncompiled model of the same kind with only the channels that `keep` keeps."""
        alive = self.alive(keep)
        sync_model(self.model)
        return rebuild_pruned(self.model, self.trace, alive)
