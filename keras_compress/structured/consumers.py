"""The layers that read the channels of a group, as matrices with a row a channel (or several)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import keras
import numpy as np

from keras_compress.calibration.kernel_rows import (
    has_kernel_rows,
    kernel_matrix,
    kernel_of_matrix,
    num_groups,
)
from keras_compress.structured.channel_graph import ChannelGraph
from keras_reweight.core.channels.channel_group import ChannelGroup
from keras_reweight.core.channels.weight_slice import WeightSlice
from keras_reweight.core.selection import layers_by_path


@dataclass(frozen=True, eq=False)
class Consumer:
    """A dense layer or convolution that reads channels of groups.

    Attributes:
        path: Path of the layer.
        layer: The layer.
        key: Key of its kernel in `ChannelGraph.variables`.
        pieces: `(group name, slice)` for every group it reads.
    """

    path: str
    layer: keras.layers.Layer
    key: str
    pieces: tuple[tuple[str, WeightSlice], ...]

    def matrix(self) -> np.ndarray:
        """The kernel, float64 of shape `(rows, outputs)`."""
        return kernel_matrix(self.layer).astype("float64")

    def assign(self, matrix: np.ndarray) -> None:
        """Set the kernel to a matrix of this shape."""
        self.layer.kernel.assign(kernel_of_matrix(self.layer, matrix))

    def channels(self, group: str) -> np.ndarray:
        """For each row the channel of the group it reads, or -1."""
        found = np.full(self._rows(np.zeros(1)).shape, -1)
        for name, piece in self.pieces:
            if name == group:
                positions = np.full(self.layer.kernel.shape[piece.axis], -1)
                positions[piece.index] = piece.channel
                found = np.maximum(found, self._rows(positions, piece.axis))
        return found

    def input_channels(self) -> list[tuple[str, np.ndarray]]:
        """`(group, for each input feature its channel or -1)`; a convolution has one a channel."""
        found = []
        for name, piece in self.pieces:
            shape = self.layer.kernel.shape
            if isinstance(self.layer, keras.layers.EinsumDense):
                found.append((name, self.channels(name)))
                continue
            channels = np.full(shape[piece.axis], -1)
            channels[piece.index] = piece.channel
            found.append((name, channels))
        return found

    def units(self) -> np.ndarray:
        """For each row its place along the axis that is cut: rows that can only go together."""
        axis = self.pieces[0][1].axis
        return self._rows(np.arange(self.layer.kernel.shape[axis]), axis)

    def kept(self, keep: Mapping[str, np.ndarray]) -> np.ndarray:
        """Bool array, for each row whether it stays."""
        stays = np.ones(self._rows(np.zeros(1)).shape, bool)
        for name in dict.fromkeys(name for name, _ in self.pieces):
            if name in keep:
                channels = self.channels(name)
                stays &= (channels < 0) | np.asarray(keep[name], bool)[channels]
        return stays

    def _rows(self, positions, axis=0):
        shape = tuple(self.layer.kernel.shape)
        along = [1] * len(shape)
        along[axis] = -1
        array = np.broadcast_to(positions.reshape(along).astype("float64"), shape)
        return kernel_matrix(self.layer, np.ascontiguousarray(array))[:, 0].astype(int)


def find_consumers(graph: ChannelGraph, groups: Iterable[ChannelGroup]) -> dict[str, Consumer]:
    """By path, every dense layer and convolution that reads channels of one of the groups.

    Recurrent layers and others whose kernel does not simply multiply the input are not among them.
    """
    layers = layers_by_path(graph.model)
    pieces: dict[str, list] = {}
    keys: dict[str, str] = {}
    for group in groups:
        for piece in group.slices:
            layer = layers.get(piece.layer)
            if piece.role != "in" or layer is None or not has_kernel_rows(layer):
                continue
            if graph.variables[piece.variable] is layer.kernel and num_groups(layer) == 1:
                pieces.setdefault(piece.layer, []).append((group.name, piece))
                keys[piece.layer] = piece.variable
    return {
        path: Consumer(path, layers[path], keys[path], tuple(found))
        for path, found in pieces.items()
    }
