"""Reading a quantized model with codes at their real bit width."""

from __future__ import annotations

import numbers
import os
from typing import Any

import keras
import numpy as np

from keras_compress.quantization.bit_packing import packed_length, unpack_codes
from keras_compress.quantization.packed_format import KIND, VERSION
from keras_reweight.core.model_file import is_count, load_model_file, num_values, read_plain


def load_packed(
    path: str | os.PathLike, *, custom_objects: dict[str, Any] | None = None
) -> keras.Model:
    """Load the plain Keras model of a file written by `save_packed`.

    Use it to deploy: the result consists of plain Keras layers with float weights, bit for bit
    those of `freeze`. The configuration is read in Keras' safe mode, so a file cannot bring code
    along; every field is checked before a model is made.

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
    path = os.path.join(tempfile.mkdtemp(), "model.safetensors")
    kc.quantization.save_packed(kc.quantize_aware(model, weights=2), path)
    plain = kc.quantization.load_packed(path)
    ```

    Reference:
        None; container format safetensors.
    """
    codecs = {"raw": read_plain, "affine": _read_affine}
    return load_model_file(path, codecs, kind=KIND, version=VERSION, custom_objects=custom_objects)


def _read_affine(record, arrays):
    bits, zero_point = record.get("bits"), record.get("zero_point")
    if not is_count(bits) or not 2 <= bits <= 8:
        raise ValueError(f"bits must be an integer from 2 to 8, got {bits!r}.")
    if not isinstance(zero_point, numbers.Real) or not 0 <= zero_point <= 2**bits:
        raise ValueError(f"zero point {zero_point!r} is outside the codes.")
    packed, scale = arrays.take("codes"), arrays.take("scale")
    shape, count = record["shape"], num_values(record)
    if packed.dtype != np.uint8 or packed.shape != (packed_length(count, bits),):
        raise ValueError(
            f"{packed.dtype} codes of shape {packed.shape} do not hold {count} values of {bits} "
            "bits."
        )
    fits = not scale.shape or (
        len(scale.shape) == len(shape)
        and all(one in (1, size) for one, size in zip(scale.shape, shape, strict=True))
    )
    if scale.dtype not in (np.float32, np.float64) or not fits or not np.all(np.isfinite(scale)):
        raise ValueError(
            f"scale ({scale.dtype}, shape {scale.shape}) does not fit {shape} or is not finite."
        )

    def write(variable):
        codes = unpack_codes(packed, bits, count).reshape(shape).astype(scale.dtype)
        variable.assign((codes - scale.dtype.type(zero_point)) * scale)

    return write
