"""Values of variables bit for bit: no dtype is converted, negative zeros and NaNs stay."""

from __future__ import annotations

import keras
import numpy as np


def values_dtype(variable: keras.Variable) -> str:
    """The dtype of the values, which on JAX may be narrower than the one asked for."""
    return keras.backend.standardize_dtype(variable.value.dtype)


def read_bits(variable: keras.Variable) -> np.ndarray:
    """The values as unsigned integers of the width of their dtype, a copy on the host."""
    if keras.backend.backend() == "torch":
        # By way of NumPy's dtypes, NaNs of bfloat16 would lose their payload.
        tensor = variable.value.detach().cpu().contiguous()
        array = tensor.view(_integer_dtype(tensor.element_size())).numpy()
    else:
        array = keras.ops.convert_to_numpy(variable.value)
    array = np.array(array, order="C")
    return array.view(f"u{array.dtype.itemsize}")


def assign_bits(variable: keras.Variable, bits: np.ndarray) -> None:
    """Assign what `read_bits` has read."""
    if keras.backend.backend() == "torch":
        import torch

        dtype = variable.value.dtype
        signed = np.array(bits, order="C").view(
            "u1" if dtype.itemsize == 1 else f"i{dtype.itemsize}"
        )
        variable.assign(torch.from_numpy(signed).view(dtype))
    else:
        # Keras registers the dtypes that NumPy lacks.
        variable.assign(bits.view(np.dtype(values_dtype(variable))))


def native_array(bits: np.ndarray, dtype: str) -> np.ndarray:
    """The bits as values where NumPy itself has the dtype, else as they are."""
    kind = np.dtype(dtype)
    return bits.view(kind) if kind.isbuiltin == 1 else bits


def native_dtype(dtype: str) -> np.dtype:
    """The dtype of what `native_array` gives."""
    kind = np.dtype(dtype)
    return kind if kind.isbuiltin == 1 else np.dtype(f"u{kind.itemsize}")


def _integer_dtype(num_bytes):
    import torch

    return {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[num_bytes]
