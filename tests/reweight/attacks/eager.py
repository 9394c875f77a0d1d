"""Attacks without tracing, where tracing takes longer than the attack."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import keras


@contextlib.contextmanager
def untraced() -> Iterator[None]:
    """Inside, TensorFlow runs functions step by step; the contract runs every attack compiled."""
    if keras.backend.backend() != "tensorflow":
        yield
        return
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(False)
