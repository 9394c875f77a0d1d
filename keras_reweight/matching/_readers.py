"""What the layers that read a group of channels see of them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_reweight.core.batches import iterate_batches
from keras_reweight.core.channels.symmetries import Symmetries, positions_of
from keras_reweight.core.forward import as_model_inputs, make_forward, predictions_of
from keras_reweight.core.layer_calls import recorded_calls
from keras_reweight.core.selection import layers_by_path


@dataclass(frozen=True, eq=False)
class Reader:
    """One call of a layer that reads channels of a group.

    Attributes:
        path: Path of the layer.
        call: Which of its calls.
        group: Name of the group.
        axis: Axis of its input that holds the channels.
        positions: `(channels, repeats)` along that axis.
    """

    path: str
    call: int
    group: str
    axis: int
    positions: np.ndarray

    def samples(self, inputs: np.ndarray) -> np.ndarray:
        """`(values, channels)` in float64."""
        moved = np.moveaxis(inputs, self.axis, -1)[..., self.positions.T]
        return moved.reshape(-1, len(self.positions)).astype("float64")


def find_readers(symmetries: Symmetries) -> list[Reader]:
    """The calls that read all channels of a group as their first input, in the order of calls."""
    channels = symmetries.channels
    readers_of: dict[str, set[str]] = {
        name: {piece.layer for piece in channels.group(name).slices if piece.role == "in"}
        for name in symmetries.groups
    }
    number = {group.name: index for index, group in enumerate(channels.groups)}
    found, calls = [], dict[str, int]()
    for step in channels.trace.passes:
        call = step.call
        if not isinstance(call.operation, keras.layers.Layer):
            continue
        path = channels.trace.paths[id(call.operation)]
        count = calls.get(path, 0)
        calls[path] = count + 1
        if not call.args or not call.inputs or call.args[0] is not call.inputs[0]:
            continue
        tensor = step.inputs[0]
        if tensor.axis is None:
            continue
        for name, paths in readers_of.items():
            inside = any(one == path or one.startswith(f"{path}/") for one in paths)
            (index,) = np.nonzero(channels.group_of[tensor.atoms] == number[name])
            if inside and index.size:
                held = channels.channel_of[tensor.atoms[index]]
                size = symmetries.groups[name].size
                positions = positions_of(index, held, size)
                found.append(Reader(path, count, name, tensor.axis, positions))
    return found


def seen_by(
    model: keras.Model, readers: list[Reader], paths: list[str]
) -> Callable[[Any], list[np.ndarray]]:
    """`x -> [what each reader sees]`; `paths` are those of the layers of the model of `readers`."""
    # Layers of a second model have the same order, not always the same names.
    layers = dict(zip(paths, layers_by_path(model).values(), strict=True))
    wanted = {reader.path: layers[reader.path] for reader in readers}

    def observe(x):
        with contextlib.ExitStack() as stack:
            calls = {
                path: stack.enter_context(recorded_calls(layer)) for path, layer in wanted.items()
            }
            predictions_of(model, x)
            return [ops.cast(calls[reader.path][reader.call][0], "float32") for reader in readers]

    forward = make_forward(observe, model.variables)
    return lambda x: [ops.convert_to_numpy(one) for one in forward(as_model_inputs(model, x))]


def iterate_inputs(data: Any, batch_size: int) -> Iterator[Any]:
    """The inputs of the batches; labels are left out."""
    for x, _, _ in iterate_batches(data, batch_size):
        yield x
