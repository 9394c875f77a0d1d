"""The `method` argument of sparse training."""

from __future__ import annotations

from typing import Any

from keras_compress.sparse_training.evolution import Evolution
from keras_compress.sparse_training.rigl import RigL
from keras_compress.sparse_training.set import SET
from keras_reweight.core.validation import check_choice

_METHODS = {"set": SET, "rigl": RigL}


def resolved_method(method: Any) -> Evolution:
    """The evolution that a name or an evolution stands for; raises for anything else."""
    if isinstance(method, Evolution):
        return method
    if not isinstance(method, str):
        raise TypeError(f"`method` must be a name or an Evolution, got {method!r}.")
    check_choice("method", method, _METHODS)
    return _METHODS[method]()
