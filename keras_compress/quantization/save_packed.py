"""Writing a quantized model with codes at their real bit width."""

from __future__ import annotations

import os

import keras

from keras_compress.quantization.bit_packing import pack_codes
from keras_compress.quantization.freeze import freeze_layers
from keras_compress.quantization.packed_format import KIND, VERSION
from keras_reweight.core.model_file import (
    describe_model,
    plain_array,
    save_model_file,
    weight_record,
)


def save_packed(model: keras.Model, path: str | os.PathLike, *, activations: str = "error") -> None:
    """Save a quantization-aware model with packed codes instead of float weights.

    Use it to store or ship the result of training: a 4-bit model takes about an eighth of its
    float weights. The file is a safetensors file with, for each quantized matrix, its codes packed
    without gaps and its scales, all other weights as they are, and the configuration of the
    plain model. `load_packed` gives the model that `freeze` gives. Written aside and renamed, so
    no reader ever sees half a file. Optimizer and compile state are not stored.

    Args:
        model: Quantization-aware `keras.Model`.
        path: File to write; its folder is made if it is missing.
        activations: `"error"` to refuse a model with quantized activations, `"drop"` to store it
            with float activations, as in `freeze`. Defaults to `"error"`.

    Returns:
        Nothing.

    Raises:
        TypeError: If `model` is no `keras.Model`.
        ValueError: If `freeze` would refuse the model.

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
    """
    plain, pairs = freeze_layers(model, activations, caller="save_packed")
    quantized = {}
    for wrapper, layer in pairs:
        targets = {variable.name: variable for variable in layer.weights}
        for name, (variable, quantizer) in wrapper.quantized_matrices().items():
            quantized[id(targets[name])] = (variable, quantizer)
    arrays, records = {}, []
    for index, variable in enumerate(plain.weights):
        record = weight_record(variable)
        if id(variable) in quantized:
            master, quantizer = quantized[id(variable)]
            codes, scale, zero_point = quantizer.codes(master)
            lowest = quantizer.code_range[0]
            unsigned = keras.ops.convert_to_numpy(codes) - lowest
            arrays[f"{index}.codes"] = pack_codes(unsigned, quantizer.bits)
            arrays[f"{index}.scale"] = keras.ops.convert_to_numpy(scale)
            # The zero point of the unsigned codes.
            record |= {
                "codec": "affine",
                "bits": quantizer.bits,
                "zero_point": float(zero_point - lowest),
            }
        else:
            arrays[f"{index}.values"] = plain_array(variable)
            record["codec"] = "raw"
        records.append(record)
    save_model_file(path, describe_model(plain), records, arrays, kind=KIND, version=VERSION)
