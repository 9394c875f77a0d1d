"""Arrays that must come out the same on every backend, kept while the tests of one backend run.

A test calls `record(key, array)`. At the end of the session every pytest process writes its arrays
to a part file beside the path named by the environment variable `KERAS_REWEIGHT_PARITY`;
`tests.parity` merges the parts of each backend and compares the backends.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

ENVIRONMENT_VARIABLE = "KERAS_REWEIGHT_PARITY"
# `numpy.savez` takes the keys as keyword arguments beside its own.
RESERVED_KEYS = ("file", "allow_pickle")

_recorded: dict[str, np.ndarray] = {}


def record(key: str, array: Any) -> None:
    """Keep `array` (tensor, variable or NumPy array) under a key unique in the whole suite."""
    if not isinstance(key, str) or not key or key in RESERVED_KEYS:
        raise ValueError(f"`key` must be a non-empty string not in {RESERVED_KEYS}, got {key!r}.")
    if key in _recorded:
        raise ValueError(f"`key` {key!r} is recorded already; keys must be unique in the suite.")
    _recorded[key] = to_plain_array(key, array)


def to_plain_array(key: str, array: Any) -> np.ndarray:
    """A NumPy copy of `array`; raises for anything but booleans, integers and floats."""
    import keras

    if not isinstance(array, (np.ndarray, np.generic, bool, int, float, list, tuple)):
        array = keras.ops.convert_to_numpy(array)
    array = np.array(array)
    if array.dtype.kind not in "biuf":
        raise TypeError(
            f"`array` for {key!r} must be boolean, integer or float, got dtype {array.dtype}. "
            "Cast bfloat16 to float32 before recording."
        )
    return array


def write(worker: str) -> Path | None:
    """Write this process's part file aside, then rename; `None` when there is nothing to write."""
    path = os.environ.get(ENVIRONMENT_VARIABLE)
    if not path or not _recorded:
        return None
    part = Path(f"{path}.{worker}.npz")
    part.parent.mkdir(parents=True, exist_ok=True)
    aside = part.with_name(f"{part.name}.{os.getpid()}.tmp")
    with aside.open("wb") as file:
        np.savez(file, **_recorded)
    os.replace(aside, part)
    return part
