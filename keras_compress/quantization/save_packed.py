"""Writing a quantized model with codes at their real bit width."""

from __future__ import annotations

import os

import keras

from keras_compress.quantization.packed_format import KIND, VERSION, pack_matrix
from keras_compress.quantization.quantized_form import as_quantized_model
from keras_compress.quantization.quantized_model import QuantizedModel
from keras_reweight.core.model_file import (
    describe_model,
    plain_array,
    save_model_file,
    weight_record,
)
from keras_reweight.core.state import sync_model
from keras_reweight.core.validation import check_boolean, check_choice


def save_packed(
    model: keras.Model | QuantizedModel,
    path: str | os.PathLike,
    *,
    activations: str = "error",
    architecture: bool = True,
) -> None:
    """Save a quantized model with packed codes instead of float weights.

    Use it to store or ship the result of training or calibration: a 4-bit model takes about an
    eighth of its float weights. The file is a safetensors file with, for each quantized matrix,
    its codes packed without gaps (1 to 8 bits, of different widths for different rows if the grid
    says so) and its scales, zero points, tables, input scales, rotations and outliers; all other
    weights as they are; the ranges of activations; and the configuration of the plain model.
    `load_packed` gives the plain model or the `QuantizedModel` again. Written aside and renamed, so
    no reader ever sees half a file. Optimizer and compile state are not stored.

    Args:
        model: Quantization-aware `keras.Model`, or a `QuantizedModel` of any kind of model.
        path: File to write; its folder is made if it is missing.
        activations: What to do with quantized activations, which the plain model of the file
            computes in float: `"error"` to refuse them in a quantization-aware model, `"keep"` to
            store their ranges for exports, `"drop"` to leave them out. The ranges of a
            `QuantizedModel` are kept unless it says `"drop"`. Defaults to `"error"`.
        architecture: Boolean, `False` to store the weights alone, for a model whose configuration
            cannot be stored. Defaults to `True`.

    Returns:
        Nothing.

    Raises:
        TypeError: If `model` is neither a `keras.Model` nor a `QuantizedModel`.
        ValueError: If `freeze` would refuse the model, or it cannot be described.

    Example:

    ```python
    import os
    import tempfile
    import keras
    import keras_compress as kc

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)])
    path = os.path.join(tempfile.mkdtemp(), "model.safetensors")
    kc.quantization.save_packed(kc.quantize_aware(model, weights=4), path)
    plain = kc.quantization.load_packed(path)
    ```

    Reference:
        None; container format safetensors.

    Cost:
        One pass over the weights on the host.
    """
    check_choice("activations", activations, ["error", "keep", "drop"])
    check_boolean("architecture", architecture)
    quantized = as_quantized_model(model, "save_packed", activations=activations)
    plain = quantized.model
    description = describe_model(plain, "save_packed") if architecture else None
    sync_model(plain)
    arrays, records = {}, []
    for index, variable in enumerate(plain.weights):
        record = weight_record(variable)
        matrix = quantized.matrices.get(variable.path)
        if matrix is None:
            fields, parts = {"codec": "raw"}, {"values": plain_array(variable)}
        else:
            fields, parts = pack_matrix(matrix)
        arrays.update({f"{index}.{part}": array for part, array in parts.items()})
        records.append(record | fields)
    ranges = {
        path: {
            "bits": found.bits,
            "scale": float(found.scale),
            "zero_point": int(found.zero_point),
            "signed": bool(found.signed),
        }
        for path, found in quantized.ranges.items()
    }
    save_model_file(
        path,
        description,
        records,
        arrays,
        kind=KIND,
        version=VERSION,
        extra={"ranges": ranges},
        compress=True,
    )
