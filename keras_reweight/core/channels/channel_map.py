"""Which channels of a model belong together."""

from __future__ import annotations

import keras
import numpy as np

from keras_reweight.core.channels.channel_group import ChannelGroup
from keras_reweight.core.channels.groups import resolve, variable_key
from keras_reweight.core.channels.walk import is_open, trace_model
from keras_reweight.core.validation import check_built


class ChannelMap:
    """The channels of a model, grouped by what makes them.

    Args:
        model: A built Functional or Sequential `keras.Model`, models inside it included.
        caller: Name for error messages.
        advice: How the error about a subclassed model goes on, or `""`.

    Attributes:
        model: The model.
        trace: What the rules wrote down, see `Trace`.
        groups: List of `ChannelGroup`.
        group_of: For each atom (channel position) of the trace the number of its group, or -1.
        channel_of: For each atom its channel in the group, or -1.
        frozen: Dict from the path of a layer to the reason why its channels stay.
        variables: Dict from `WeightSlice.variable` to the `keras.Variable`.

    Raises:
        TypeError: If `model` is not a `keras.Model`.
        ValueError: If `model` is not built or is a subclassed model.
    """

    def __init__(self, model: keras.Model, *, caller: str = "ChannelMap", advice: str = ""):
        check_built(model, caller)
        if not is_open(model):
            raise ValueError(
                f"`model`: {model.name!r} is a subclassed {type(model).__name__} or has no "
                "symbolic inputs, so its channels cannot be followed. Build it with "
                "keras.Sequential (starting with keras.Input) or keras.Model(inputs, outputs)"
                f"{advice or '.'}"
            )
        self.model = model
        self.trace = trace_model(model)
        found = resolve(self.trace)
        self.groups: list[ChannelGroup] = found.groups
        self.group_of: np.ndarray = found.group_of
        self.channel_of: np.ndarray = found.channel_of
        self.frozen: dict[str, str] = found.frozen
        self.variables: dict[str, keras.Variable] = {
            variable_key(binding): binding.variable for binding in self.trace.bindings.values()
        }

    def group(self, name: str) -> ChannelGroup:
        """The group of this name."""
        for group in self.groups:
            if group.name == name:
                return group
        raise ValueError(
            f"No channel group {name!r}. Groups: {[group.name for group in self.groups]}."
        )

    def __str__(self) -> str:
        lines = [str(group) for group in self.groups]
        lines += [f"{path}: stays, {reason}" for path, reason in self.frozen.items()]
        return "\n".join(lines)
