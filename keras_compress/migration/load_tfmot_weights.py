"""Weights of models that TensorFlow Model Optimization has pruned."""

from __future__ import annotations

import json
import os
import pathlib
import zipfile

import keras
import numpy as np

from keras_compress.migration.tfmot_script import FORMAT
from keras_compress.pruning.pruning_report import PruningReport
from keras_reweight.core.selection import leaf_layers
from keras_reweight.core.validation import check_built

#: Variables that changed their name between Keras 2 and 3.
_RENAMED = {"depthwise_kernel": "kernel"}


def load_tfmot_weights(model: keras.Model, path: str | os.PathLike) -> PruningReport:
    """Fill a Keras 3 model with the weights and exact zeros of a tf_keras model pruned by tfmot.

    Use it to leave TensorFlow Model Optimization behind without training again. Its environment
    writes the file (`keras_compress/migration/tfmot_script.py`, which needs nothing but NumPy and
    can be copied there; `kc.migration.TFMOT_SCRIPT` is its path); this function fills a model of
    the same architecture, made with Keras 3. Layers with weights are matched by their names if
    both models have the same names, else by their order; their class, the number of their weights,
    and the name and shape of each must agree. Masks are applied, so zeros are exact even where the
    last step of tfmot left small values behind.

    Args:
        model: A built `keras.Model`.
        path: File written by `save_tfmot_weights` of the script.

    Returns:
        A `PruningReport`; its `masks` are those of tfmot, by the paths of the variables in `model`.

    Raises:
        FileNotFoundError: If there is no such file.
        TypeError: If `model` is no `keras.Model`.
        ValueError: If the model is not built, the file is damaged or of another kind, or the two
            models differ. The model is then unchanged.

    Example:

    ```python
    import json
    import os
    import tempfile
    import keras
    import numpy as np
    import keras_compress as kc

    # What the script writes for a model with one pruned layer.
    weights = [{"name": "dense/kernel:0", "masked": True}]
    layers = [{"name": "dense", "class": "Dense", "weights": weights}]
    header = json.dumps({"format": "tfmot pruned weights 1", "layers": layers})
    mask = np.array([[True, False], [False, True]])
    path = os.path.join(tempfile.mkdtemp(), "weights.npz")
    np.savez(path, **{"header": header, "0.0.value": np.ones((2, 2), "f4"), "0.0.mask": mask})

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, use_bias=False)])
    report = kc.migration.load_tfmot_weights(model, path)
    assert kc.sparsity_report(model).zeros == 2
    ```

    Reference:
        None; github.com/tensorflow/model-optimization.
    """
    check_built(model, "load_tfmot_weights")
    path = pathlib.Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"No file {str(path)!r}.")
    try:
        arrays, layers = _read(path)
        targets = _match(model, layers)
        plan = [
            _check(variable, arrays, layer, f"{number}.{index}")
            for number, (layer, target) in enumerate(zip(layers, targets, strict=True))
            for index, variable in enumerate(_variables(target, layer))
        ]
    except ValueError as error:
        raise ValueError(f"{str(path)!r} cannot be loaded: {error}") from error
    masks = {}
    for variable, value, mask in plan:
        variable.assign(value if mask is None else np.where(mask, value, np.zeros_like(value)))
        if mask is not None:
            masks[variable.path] = mask
    masked = {id(variable) for variable, _, mask in plan if mask is not None}
    skipped = {
        layer.path: "tfmot had no mask"
        for layer in leaf_layers(model)
        if layer.weights and not any(id(variable) in masked for variable in layer.weights)
    }
    return PruningReport({name: mask.size for name, mask in masks.items()}, skipped, masks)


def _read(path):
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        header = json.loads(str(arrays.pop("header")))
    except (ValueError, KeyError, OSError, RecursionError, zipfile.BadZipFile) as error:
        raise ValueError(f"it is no file of the script for tfmot: {error!r}.") from error
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise ValueError(f"it is no file of the script for tfmot, its header is {header!r}.")
    layers = header.get("layers")
    if not isinstance(layers, list) or not all(_is_layer(layer) for layer in layers):
        raise ValueError("its header does not describe layers.")
    return arrays, layers


def _is_layer(layer):
    return (
        isinstance(layer, dict)
        and all(isinstance(layer.get(key), str) for key in ("name", "class"))
        and isinstance(layer.get("weights"), list)
        and all(
            isinstance(weight, dict) and isinstance(weight.get("name"), str)
            for weight in layer["weights"]
        )
    )


def _match(model, layers):
    """The layer of the model for each layer of the file."""
    ours = [layer for layer in _leaves(model) if layer.weights]
    if len(ours) != len(layers):
        raise ValueError(
            f"it has {len(layers)} layers with weights, {[layer['name'] for layer in layers]}, "
            f"model {model.name!r} has {len(ours)}, {[layer.name for layer in ours]}."
        )
    by_name = {layer.name: layer for layer in ours}
    if len(by_name) == len(ours) and set(by_name) == {layer["name"] for layer in layers}:
        ours = [by_name[layer["name"]] for layer in layers]
    for layer, target in zip(layers, ours, strict=True):
        if type(target).__name__ != layer["class"]:
            raise ValueError(
                f"layer {layer['name']!r} is a {layer['class']}, in model {model.name!r} it is "
                f"{target.name!r}, a {type(target).__name__}."
            )
    return ours


def _leaves(model):
    """Layers as tf_keras counts them: models opened, wrappers and attention whole."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _leaves(layer)
        else:
            yield layer


def _variables(target, layer):
    if len(target.weights) != len(layer["weights"]):
        raise ValueError(
            f"layer {layer['name']!r} has {len(layer['weights'])} weights, {target.path!r} has "
            f"{len(target.weights)}."
        )
    for variable, weight in zip(target.weights, layer["weights"], strict=True):
        name = weight["name"].rpartition("/")[2].partition(":")[0]
        if variable.name not in (name, _RENAMED.get(name)):
            raise ValueError(
                f"weight {weight['name']!r} stands where {variable.path!r} has its "
                f"{variable.name!r}."
            )
        yield variable


def _check(variable, arrays, layer, key):
    value, mask = arrays.get(f"{key}.value"), arrays.get(f"{key}.mask")
    if value is None or value.shape != tuple(variable.shape):
        found = None if value is None else value.shape
        raise ValueError(
            f"the values of {variable.path!r} must have shape {tuple(variable.shape)}, those of "
            f"layer {layer['name']!r} have {found}."
        )
    if mask is not None and (mask.dtype != bool or mask.shape != value.shape):
        raise ValueError(f"the mask of {variable.path!r} is {mask.dtype} of shape {mask.shape}.")
    return variable, value, mask
