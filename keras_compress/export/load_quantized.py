"""Reading a model whose layers Keras itself has quantized."""

from __future__ import annotations

import os
from typing import Any

import keras

from keras_compress.export.quantized_format import KIND, VERSION, own_variables
from keras_reweight.core.keras_quantized import apply_recipe
from keras_reweight.core.model_file import ModelFile, check_custom_objects, read_plain
from keras_reweight.core.selection import layers_by_path


def load_quantized(
    path: str | os.PathLike, *, custom_objects: dict[str, Any] | None = None
) -> keras.Model:
    """Load a model written by `save_quantized`, with Keras' own quantized layers.

    The float model is made from its configuration, its layers are quantized as the recipe in the
    file says, and all variables are filled, bit for bit. The configuration is read in Keras' safe
    mode; every record is checked before anything is written into a model.

    Args:
        path: File to read.
        custom_objects: Dict from names to custom classes or functions of the model that are not
            registered with Keras. Defaults to `None`.

    Returns:
        A `keras.Model`, not compiled.

    Raises:
        FileNotFoundError: If there is no such file.
        TypeError: If `custom_objects` is no dict.
        ValueError: If the file is damaged, of another kind or version, or inconsistent.

    Example:

    ```python
    import os
    import tempfile
    import keras
    import keras_compress as kc

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)])
    model.layers[0].quantize("int8")
    path = os.path.join(tempfile.mkdtemp(), "model.safetensors")
    kc.export.save_quantized(model, path)
    assert kc.export.load_quantized(path).layers[0].quantization_mode == "int8"
    ```

    Reference:
        None; container format safetensors.
    """
    check_custom_objects(custom_objects)
    file = ModelFile(path, {"raw": read_plain}, kind=KIND, versions=(VERSION,))
    with file.naming_errors():
        recipes = file.header.get("recipes")
        if not isinstance(recipes, dict):
            raise ValueError(f"`recipes` {recipes!r} are no dict.")
        model = file.new_model(custom_objects)
        layers = layers_by_path(model)
        unknown = sorted(set(recipes) - set(layers))
        if unknown:
            raise ValueError(f"`recipes` name layers {unknown}, which the model lacks.")
        for layer_path, recipe in recipes.items():
            _quantize(layers[layer_path], layer_path, recipe)
        found = own_variables(model)
        keys = [str(record.get("key")) for record in file.records]
        if sorted(keys) != sorted(found):
            raise ValueError(f"weights {keys} for a model that has {list(found)}.")
        file.fill([found[key] for key in keys])
    return model


def _quantize(layer, path, recipe):
    try:
        apply_recipe(layer, recipe)
    except (AttributeError, KeyError, NotImplementedError, TypeError, ValueError) as error:
        raise ValueError(f"layer {path!r} cannot be quantized as {recipe!r}: {error}") from error
