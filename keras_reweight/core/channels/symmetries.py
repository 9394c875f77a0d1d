"""The channels of a model that can trade places, and where in its weights they are found."""

from __future__ import annotations

from dataclasses import dataclass

import keras
import numpy as np

from keras_reweight.core.batch_norm import batch_norm_layers
from keras_reweight.core.channels import ChannelGroup, ChannelMap
from keras_reweight.core.validation import check_built

ADVICE = ", whose channels can be followed."


@dataclass(frozen=True, eq=False)
class Site:
    """Channels along one axis of a weight.

    Attributes:
        index: Position of the weight in `model.weights`.
        axis: Axis of the weight.
        positions: Integer array of shape `(channels, repeats)`: where each channel is found along
            the axis; behind a `Flatten` a channel has several places.
        is_statistic: Whether the weight is a moving statistic, which moves along but says nothing
            about which channels belong together.
    """

    index: int
    axis: int
    positions: np.ndarray
    is_statistic: bool

    def rows(self, array: np.ndarray) -> np.ndarray:
        """The values of the channels, one row each."""
        moved = np.moveaxis(array, self.axis, 0)
        return moved[self.positions].reshape(len(self.positions), -1)

    def permuted(self, array: np.ndarray, order: np.ndarray) -> np.ndarray:
        """`array` with channel `order[i]` where channel `i` was."""
        return np.take(array, self.index_of(order, array.shape[self.axis]), axis=self.axis)

    def index_of(self, order: np.ndarray, size: int) -> np.ndarray:
        """The old position of each of the `size` entries of the axis."""
        index = np.arange(size)
        index[self.positions] = self.positions[order]
        return index


@dataclass(frozen=True, eq=False)
class Sites:
    """A group of channels that can trade places, and all weights they are found in."""

    name: str
    size: int
    sites: tuple[Site, ...]

    @property
    def compared(self) -> tuple[Site, ...]:
        """Those by which two models are compared."""
        return tuple(site for site in self.sites if not site.is_statistic)

    @property
    def is_quadratic(self) -> bool:
        """Whether some weight holds the channels along two axes, as a recurrent kernel does."""
        indices = [site.index for site in self.compared]
        return len(indices) > len(set(indices))


class Symmetries:
    """The permutations of channels under which a model computes the same.

    Attributes:
        channels: The `ChannelMap`.
        groups: Group name -> `Sites`, for the groups that can be permuted.
        stays: Layer path -> reason why its channels keep their places.
    """

    def __init__(self, model: keras.Model, caller: str, argument: str = "model"):
        check_built(model, caller, argument)
        self.channels = ChannelMap(model, caller=caller, advice=ADVICE)
        self.stays = dict(self.channels.frozen)
        position = {id(variable): index for index, variable in enumerate(model.weights)}
        statistics = {
            id(variable)
            for layer in batch_norm_layers(model)
            for variable in (layer.moving_mean, layer.moving_variance)
        }
        uneven = _uneven(self.channels)
        self.groups: dict[str, Sites] = {}
        for group in self.channels.groups:
            if group.name in uneven:
                for path in group.producers:
                    self.stays.setdefault(path, uneven[group.name])
                continue
            sites = []
            for piece in group.slices:
                variable = self.channels.variables[piece.variable]
                sites.append(
                    Site(
                        position[id(variable)],
                        piece.axis,
                        positions_of(piece.index, piece.channel, group.size),
                        id(variable) in statistics,
                    )
                )
            self.groups[group.name] = Sites(group.name, group.size, tuple(sites))
        if not self.groups:
            raise ValueError(
                f"{caller}: no channels of model {model.name!r} can trade places. Why: "
                f"{self.stays}."
            )

    @property
    def indices(self) -> list[int]:
        """Positions in `model.weights` of all weights that hold channels of a group."""
        return sorted({site.index for group in self.groups.values() for site in group.sites})


def positions_of(index: np.ndarray, channel: np.ndarray, size: int) -> np.ndarray:
    """`(size, repeats)`: the ascending positions of each channel; all have equally many."""
    order = np.argsort(channel, kind="stable")
    return np.asarray(index)[order].reshape(size, -1)


def _uneven(channels: ChannelMap) -> dict[str, str]:
    """Groups in which some tensor holds one channel more often than another, with the reason.

    Pruning may take each channel with all its places. To trade places, two channels need equally
    many of them in every tensor on the way.
    """
    found: dict[str, str] = {}
    seen: set[int] = set()
    for step in channels.trace.passes:
        for tensor in (*step.inputs, *step.outputs):
            if tensor.axis is None or id(tensor.atoms) in seen:
                continue
            seen.add(id(tensor.atoms))
            for group, counts in _counts(channels, tensor.atoms):
                if (counts != counts[0]).any():
                    name = step.call.operation.name
                    found.setdefault(
                        group.name, f"{name}: holds some of the channels more often than others"
                    )
    return found


def _counts(channels: ChannelMap, atoms: np.ndarray) -> list[tuple[ChannelGroup, np.ndarray]]:
    numbers = channels.group_of[atoms]
    return [
        (
            channels.groups[number],
            np.bincount(
                channels.channel_of[atoms[numbers == number]],
                minlength=channels.groups[number].size,
            ),
        )
        for number in np.unique(numbers[numbers >= 0])
    ]
