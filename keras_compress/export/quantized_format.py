"""What the files of `save_quantized` and `load_quantized` have in common.

Neither paths nor the order of variables tell which is which: a layer quantized after it was built
names and orders its variables differently from one built quantized. The path of the layer and the
name of the variable in it do.
"""

from __future__ import annotations

from typing import Any

import keras

from keras_reweight.core.model_file import describe_model
from keras_reweight.core.selection import layers_by_path

KIND = "keras_compress.quantized_model"
VERSION = 1


def own_variables(model: keras.Model) -> dict[str, keras.Variable]:
    """The weights of a model by path of their layer, their name, and a number if that is taken."""
    owners = {id(variable): "" for variable in model.weights}
    for path, layer in layers_by_path(model).items():
        # What holds a layer comes before it.
        owners |= {id(variable): path for variable in layer.weights}
    found: dict[str, keras.Variable] = {}
    for variable in model.weights:
        key, copy = f"{owners[id(variable)]}/{variable.name}", 1
        while key in found:
            key, copy = f"{owners[id(variable)]}/{variable.name}#{copy}", copy + 1
        found[key] = variable
    return found


def float_description(model: keras.Model, caller: str) -> dict[str, Any]:
    """Configuration of a model before Keras has quantized its layers."""
    return _unquantized(describe_model(model, caller))


def _unquantized(config: Any) -> Any:
    if isinstance(config, list):
        return [_unquantized(one) for one in config]
    if not isinstance(config, dict):
        return config
    settings = config.get("config")
    if isinstance(settings, dict) and {"mode", "source_name"} <= set(settings):
        policy = keras.dtype_policies.get(settings["source_name"])
        return keras.dtype_policies.serialize(policy)
    return {
        key: None if key == "quantization_config" else _unquantized(value)
        for key, value in config.items()
    }
