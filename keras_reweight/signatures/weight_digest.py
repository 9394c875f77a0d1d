"""One number for all weights of a model."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import keras
import numpy as np

from keras_reweight.core.state import sync_model
from keras_reweight.core.validation import check_built
from keras_reweight.signatures.live_weights import array_digest


def weight_digest(model: keras.Model) -> str:
    """SHA-256 over all weights of a model, to see whether any bit changed.

    Covers position, dtype, shape and bytes of every weight, batch normalization statistics
    included; not the names, the optimizer, metrics or seed states. The same weights give the same
    digest on every backend.

    Args:
        model: A built `keras.Model`.

    Returns:
        String of 64 hexadecimal digits.

    Raises:
        TypeError: If `model` is not a `keras.Model`.
        ValueError: If `model` is not built.

    Example:

    ```python
    import keras
    import keras_reweight as kr

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    before = kr.weight_digest(model)
    model.layers[0].kernel.assign_add([[1e-3], [0.0]])
    assert kr.weight_digest(model) != before
    ```

    Reference:
        None; SHA-256 is FIPS 180-4.
    """
    check_built(model, "weight_digest")
    sync_model(model)
    total = RunningDigest()
    for index, variable in enumerate(model.weights):
        total.add(index, keras.ops.convert_to_numpy(variable.value))
    return total.hexdigest()


def digest_of(arrays: Mapping[int, np.ndarray]) -> str:
    """SHA-256 over arrays by position."""
    total = RunningDigest()
    for index in sorted(arrays):
        total.add(index, arrays[index])
    return total.hexdigest()


class RunningDigest:
    """`digest_of` for arrays that come one after another, in ascending positions."""

    def __init__(self):
        self._total = hashlib.sha256()

    def add(self, index: int, array: np.ndarray) -> None:
        self._total.update(f"{index}:{array_digest(array)}|".encode())

    def hexdigest(self) -> str:
        return self._total.hexdigest()
