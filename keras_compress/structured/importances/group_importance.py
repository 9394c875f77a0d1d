"""Importances that add up what single weights are worth."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from keras_compress.structured.channel_graph import ChannelGraph
from keras_compress.structured.importances.channel_importance import ChannelImportance
from keras_compress.structured.importances.members import (
    NORMALIZERS,
    REDUCTIONS,
    check_members,
    counted_slices,
    normalize,
    reduce_members,
    rows_of,
)
from keras_reweight.core.channels.channel_group import ChannelGroup
from keras_reweight.core.state import sync_model
from keras_reweight.core.validation import check_boolean, check_choice


class GroupImportance(ChannelImportance):
    """Base of importances that are sums over the weights of a channel, in every layer it touches.

    Each slice of a `ChannelGroup` is a member: the outgoing weights of a channel in the layers that
    make it, the incoming ones in the layers that read it, and its scale in normalizations. A member
    gives one number a channel (`member`), members are reduced to one (`reduction`), and the numbers
    of a group are normalized so that groups can be compared (`normalizer`). Biases count only with
    `bias`, statistics never.

    Args:
        normalizer: String: `"mean"`, `"sum"`, `"max"`, `"median"` (divide by it), `"min-max"`
            (between 0 and 1), `"gaussian"` (standardize), `"lamp"` (divide by the sum of those that
            are not smaller), or `"none"`. Defaults to `"mean"`.
        reduction: String: `"mean"`, `"sum"`, `"max"` or `"prod"` over the members, or `"first"`
            for the layer alone that makes the channels. Defaults to `"mean"`.
        bias: Bool, whether biases and offsets are members, too. Defaults to `False`.

    Returns:
        A `ChannelImportance`; subclasses define `member(rows)`, and `values(graph, keys)` if they
        go by something else than the weights themselves.

    Raises:
        ValueError: If an argument is none of its choices, in `scores`, or a weight is NaN.
        TypeError: If `bias` is no bool, in `scores`.

    Example:

    ```python
    import keras
    import keras_compress as kc

    class Largest(kc.structured.GroupImportance):
        def member(self, rows):
            return abs(rows).max(axis=1)

    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(8), keras.layers.Dense(2)])
    small = kc.prune_structured(model, 0.5, importance=Largest(reduction="max"))
    ```

    Reference:
        Fang et al., "DepGraph: Towards Any Structural Pruning", arXiv 2301.12900, section 3.3;
        github.com/VainF/Torch-Pruning.
    """

    def __init__(self, *, normalizer: str = "mean", reduction: str = "mean", bias: bool = False):
        self.normalizer = normalizer
        self.reduction = reduction
        self.bias = bias

    def scores(self, graph: ChannelGraph, groups: Sequence[ChannelGroup]) -> dict[str, np.ndarray]:
        self.check()
        sync_model(graph.model)
        members = {group.name: counted_slices(graph, group, bias=self.bias) for group in groups}
        for group in groups:
            check_members(group, members[group.name])
        keys = dict.fromkeys(piece.variable for each in members.values() for piece in each)
        values = self.values(graph, list(keys))
        result = {}
        for group in groups:
            found = [
                (self.member(rows_of(values[piece.variable], piece)), piece.channel)
                for piece in members[group.name]
            ]
            reduced = reduce_members(found, group.size, self.reduction)
            result[group.name] = normalize(reduced, self.normalizer)
        return result

    def values(self, graph: ChannelGraph, keys: Sequence[str]) -> dict[str, np.ndarray]:
        """A float64 array of the shape of the variable for each key of `graph.variables`."""
        return {key: weight_values(graph.variables[key]) for key in keys}

    def member(self, rows: np.ndarray) -> np.ndarray:
        """Scores `(positions,)` from the values `(positions, values)` of one member."""
        raise NotImplementedError(f"{type(self).__name__} must define member(rows).")

    def check(self) -> None:
        """Raise for wrong arguments; the constructor only stores them."""
        check_choice("normalizer", self.normalizer, NORMALIZERS)
        check_choice("reduction", self.reduction, REDUCTIONS)
        check_boolean("bias", self.bias)

    def get_config(self) -> dict:
        return {"normalizer": self.normalizer, "reduction": self.reduction, "bias": self.bias}


def weight_values(variable: keras.Variable) -> np.ndarray:
    """A weight on the host, float64; NaN has no rank and is refused."""
    value = np.asarray(ops.convert_to_numpy(ops.convert_to_tensor(variable)))
    value = value.astype("float32" if value.dtype.kind == "V" else "float64").astype("float64")
    if np.isnan(value).any():
        raise ValueError(
            f"{variable.path!r} holds NaN, so its channels cannot be ranked. Training has diverged."
        )
    return value
