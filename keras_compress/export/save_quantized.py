"""Writing a model whose layers Keras itself has quantized."""

from __future__ import annotations

import os

import keras

from keras_compress.export.quantized_format import KIND, VERSION, float_description, own_variables
from keras_reweight.core.keras_quantized import quantization_recipe
from keras_reweight.core.model_file import plain_array, save_model_file, weight_record
from keras_reweight.core.selection import layers_by_path
from keras_reweight.core.state import sync_model
from keras_reweight.core.validation import check_built

#: What Keras 3.15 builds again in the way it was; of the others it loses variables.
_MODES = ("int8", "int4", "float8")


def save_quantized(model: keras.Model, path: str | os.PathLike) -> None:
    """Save a model with Keras' own quantized layers so that it can be loaded again.

    Use it after `model.quantize(...)` or `to_keras_layers` where a model has attention: Keras 3.15
    writes such a model to a `.keras` file without a word and cannot load it, because the
    configuration of `MultiHeadAttention` does not say that the layers in it are quantized. The file
    holds the configuration of the float model, a recipe (mode and configuration of every quantized
    layer, as JSON) and all variables bit for bit, codes as the integers they are. It is a
    safetensors file, written aside and renamed. Optimizer and compile state are not stored.

    Args:
        model: A built `keras.Model` with at least one layer quantized to `int8`, `int4` or
            `float8`.
        path: File to write; its folder is made if it is missing.

    Returns:
        Nothing.

    Raises:
        TypeError: If `model` is no `keras.Model`.
        ValueError: If `model` is not built, has no layer quantized by Keras or one of another mode,
            or cannot be described by its configuration.

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
    same = kc.export.load_quantized(path)
    ```

    Reference:
        None; container format safetensors.

    Cost:
        One pass over the weights on the host.
    """
    check_built(model, "save_quantized")
    recipes = {
        layer_path: recipe
        for layer_path, layer in layers_by_path(model).items()
        if (recipe := quantization_recipe(layer)) is not None
    }
    if not recipes:
        raise ValueError(
            f"save_quantized: model {model.name!r} has no layer quantized by Keras. Use "
            "`to_keras_layers`, or `save_packed` for a quantization-aware model."
        )
    others = {key: one["mode"] for key, one in recipes.items() if one["mode"] not in _MODES}
    if others:
        raise ValueError(f"save_quantized: layers {others} are of modes that are not in {_MODES}.")
    description = float_description(model, "save_quantized")
    sync_model(model)
    arrays, records = {}, []
    for index, (key, variable) in enumerate(own_variables(model).items()):
        record = weight_record(variable)
        records.append(record | {"key": key, "codec": "raw"})
        arrays[f"{index}.values"] = plain_array(variable)
    save_model_file(
        path,
        description,
        records,
        arrays,
        kind=KIND,
        version=VERSION,
        extra={"recipes": recipes},
    )
