"""The same model with fewer channels."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_compress import _rebuild
from keras_reweight.core.channels.rules import find_rule
from keras_reweight.core.channels.trace import Trace
from keras_reweight.core.skipped_initialization import skipped_initialization


def rebuild_pruned(model: keras.Model, trace: Trace, alive: np.ndarray) -> keras.Model:
    """A model of the same kind whose layers have the channels left for which `alive` is true."""

    def kept(atoms: np.ndarray) -> int:
        return int(np.count_nonzero(alive[atoms]))

    def make(operation):
        return type(operation).from_config(edited_config(operation, trace, kept))

    def replace(layer):
        return skip(_rebuild.copy_layer(layer) if find_rule(layer) is None else make(layer))

    def input_shape(tensor):
        tracked = trace.seen.get(("input", id(tensor)))
        if tracked is None or tracked.axis is None:
            return tensor.shape
        shape = list(tensor.shape)
        shape[tracked.axis] = kept(tracked.atoms)
        return tuple(shape)

    with skipped_initialization() as skip:
        new, pairs = _rebuild.rebuild(model, replace, make_operation=make, input_shape=input_shape)
    for before, after in pairs.values():
        copy_sliced(before, after, trace, alive)
    return new


def edited_config(operation, trace: Trace, kept: Callable[[np.ndarray], int]) -> dict[str, Any]:
    """The configuration of a layer with the sizes it has after pruning."""
    config = without_build_configs(copy.deepcopy(operation.get_config()))
    for path, value in trace.edits.get(id(operation), {}).items():
        entry = config
        for key in path[:-1]:
            entry = entry[key]
        entry[path[-1]] = value(kept)
    return config


def without_build_configs(config: Any) -> Any:
    """A wrapped layer would be built for the old shape of its input."""
    if isinstance(config, dict):
        return {
            key: without_build_configs(value)
            for key, value in config.items()
            if key != "build_config"
        }
    if isinstance(config, (list, tuple)):
        return type(config)(without_build_configs(value) for value in config)
    return config


def copy_sliced(before, after, trace: Trace, alive: np.ndarray) -> None:
    """Copy the values and `trainable` flags of a layer, without the channels that go."""
    old, new = before.variables, after.variables
    if len(old) != len(new):
        raise ValueError(
            f"Layer {before.name!r} ({type(before).__name__}) has {len(old)} variables, the one "
            f"made from its configuration has {len(new)}. Its `get_config` is not complete."
        )
    _rebuild.copy_trainable_flags(before, after)
    for source, target in zip(old, new, strict=True):
        value = keras.ops.convert_to_numpy(source.value)
        for axis in range(value.ndim):
            binding = trace.bindings.get((id(source), axis))
            if binding is not None and not (keep := alive[binding.atoms]).all():
                value = np.compress(keep, value, axis)
        if tuple(target.shape) != value.shape:
            raise ValueError(
                f"Weight {source.path!r} of shape {tuple(source.shape)} has shape {value.shape} "
                f"after pruning, but the new layer has a weight of shape {tuple(target.shape)}."
            )
        target.assign(value)
        target.trainable = source.trainable
