"""Biases for layers that were made without."""

from __future__ import annotations

from collections.abc import Sequence

import keras
from keras import ops

from keras_compress._rebuild import copy_layer, copy_state, rebuild
from keras_reweight.core.selection import all_layers, layers_by_path


def add_biases(model: keras.Model, paths: Sequence[str]) -> keras.Model:
    """`model`, or a new model that computes the same, in which the layers at `paths` have a bias.

    The projections of an attention layer get theirs together. New biases are zero.
    """
    layers = layers_by_path(model)
    missing = {id(layers[path]) for path in paths if layers[path].bias is None}
    if not missing:
        return model
    changed = set()

    def replace(layer):
        if not missing & {id(part) for part in _parts(layer)}:
            return copy_layer(layer)
        changed.add(id(layer))
        return type(layer).from_config(_config_with_bias(layer))

    new, pairs = rebuild(model, replace)
    for key, (before, after) in pairs.items():
        if key in changed:
            _copy_by_name(before, after)
        else:
            copy_state(before, after)
    return new


def _parts(layer):
    return [layer, *all_layers(layer)]


def _config_with_bias(layer):
    config = layer.get_config()
    if isinstance(layer, keras.layers.EinsumDense):
        left, output = layer.equation.replace(" ", "").split("->")
        kernel = left.split(",")[1]
        return {**config, "bias_axes": "".join(label for label in output if label in kernel)}
    if "use_bias" not in config:
        raise ValueError(
            f"Layer {layer.path!r} ({type(layer).__name__}) has no `use_bias` in its config, so "
            "its inner layers cannot get the bias that compensate='bias' needs."
        )
    return {**config, "use_bias": True}


def _copy_by_name(before, after):
    """Values of variables of the same name, layer by layer; what is new keeps its value."""
    after.trainable = before.trainable
    for old, new in zip(_parts(before), _parts(after), strict=True):
        new.trainable = old.trainable
        if all_layers(old):
            continue
        targets = {variable.name: variable for variable in new.variables}
        for variable in old.variables:
            # Through NumPy: on JAX two variables must not share a buffer.
            targets[variable.name].assign(ops.convert_to_numpy(variable.value))
