"""What TensorFlow's converter to LiteRT is told."""

from __future__ import annotations

from typing import Any

import keras


def integer_optimizations() -> dict[str, Any]:
    """Arguments of `model.export(..., format="litert")` that turn rounded values into integers."""
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            "integers in LiteRT files need the TensorFlow backend, this is "
            f"{keras.backend.backend()}."
        )
    import tensorflow as tf

    return {"optimizations": [tf.lite.Optimize.DEFAULT]}
