"""Reading a model in which zeros take next to no room."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_compress.export.sparse_format import (
    CODE_BITS,
    KIND,
    VERSION,
    gap_positions,
    mask_positions,
)
from keras_reweight.core.model_file import (
    check_array,
    is_count,
    load_model_file,
    num_values,
    read_plain,
)
from keras_reweight.core.validation import check_built
from keras_reweight.core.variable_bits import assign_bits


def load_sparse(
    path: str | os.PathLike,
    *,
    model: keras.Model | None = None,
    custom_objects: dict[str, Any] | None = None,
) -> keras.Model:
    """Load the model of a file written by `save_sparse`.

    Use it to go on with a pruned model: every weight has the bits it was saved with, so zeros are
    exact and `KeepSparsity` can hold them. The configuration is read in Keras' safe mode, so a file
    cannot bring code along. Every record is checked against the arrays and the model before memory
    is taken for what it promises and before anything is written into a model.

    Args:
        path: File to read.
        model: A built `keras.Model` to fill, of weights with the same shapes and dtypes in the same
            order; for files without architecture, and for subclassed models that only code can
            make. Defaults to `None`: a new model from the configuration in the file.
        custom_objects: Dict from names to custom classes or functions of the model that are not
            registered with Keras. Defaults to `None`.

    Returns:
        A `keras.Model`, new and not compiled, or `model` itself.

    Raises:
        FileNotFoundError: If there is no such file.
        TypeError: If `model` is no `keras.Model` or `custom_objects` no dict.
        ValueError: If the file is damaged, of another kind or version, or inconsistent, or does not
            fit `model`.

    Example:

    ```python
    import os
    import tempfile
    import keras
    import keras_compress as kc

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(16)])
    kc.prune_magnitude(model, 0.75)
    path = os.path.join(tempfile.mkdtemp(), "model.safetensors")
    kc.export.save_sparse(model, path)
    assert kc.sparsity_report(kc.export.load_sparse(path)).sparsity == 0.75
    ```

    Reference:
        None; container format safetensors.
    """
    if model is not None:
        check_built(model, "load_sparse")
    codecs = {
        "zeros": _read_zeros,
        "dense": read_plain,
        "bitmask": _read_bitmask,
        "gaps": _read_gaps,
    }
    return load_model_file(
        path, codecs, kind=KIND, version=VERSION, model=model, custom_objects=custom_objects
    )


def _read_zeros(record, arrays):
    return functools.partial(_assign, record, lambda: np.arange(0), np.zeros(0, "u1"))


def _read_bitmask(record, arrays):
    return _sparse(
        record, arrays, functools.partial(mask_positions, arrays.take("mask"), num_values(record))
    )


def _read_gaps(record, arrays):
    bits, count = record.get("bits"), record.get("num_codes")
    if not is_count(bits) or bits not in CODE_BITS:
        raise ValueError(f"bits must be an integer in {CODE_BITS}, got {bits!r}.")
    if not is_count(count):
        raise ValueError(f"num_codes must be an integer >= 0, got {count!r}.")
    return _sparse(
        record,
        arrays,
        functools.partial(gap_positions, arrays.take("codes"), bits, count, num_values(record)),
    )


def _sparse(record, arrays, locate: Callable[[], np.ndarray]):
    values = arrays.take("values")
    # Found again when the weight is written: the positions of all weights at once take much memory.
    check_array(values, record["dtype"], (locate().size,), "values")
    return functools.partial(_assign, record, locate, values.view(f"u{values.itemsize}"))


def _assign(record, locate, values, variable):
    flat = np.zeros(num_values(record), f"u{np.dtype(record['dtype']).itemsize}")
    flat[locate()] = values
    assign_bits(variable, flat.reshape(record["shape"]))
