"""Inputs for calibration where there are no data."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from keras_reweight.core.validation import check_built, check_integer


def noise_inputs(model: keras.Model, num_samples: int = 128, *, seed: int = 0) -> Any:
    """Uniform noise in `[0, 1)` of the shapes of the inputs of a model.

    Calibration where there is nothing else. Use real inputs, if need be of another task, wherever
    there are some: on trained image models, whose units treat noise unlike any image, this did not
    beat magnitudes without compensation. Scale the result if the model takes inputs of another
    range.

    Args:
        model: A `keras.Model` with known input shapes; axes of unknown length get 16 entries.
        num_samples: Integer >= 1. Defaults to `128`.
        seed: Integer. Defaults to `0`.

    Returns:
        Float32 array of shape `(num_samples, ...)`, or a structure of such as the model takes it.

    Raises:
        TypeError: If `model` is no model, or a number of the wrong kind.
        ValueError: If `model` is not built, has no symbolic inputs or takes integers, for which
            there is no noise without a vocabulary.

    Example:

    ```python
    import keras
    import keras_compress as kc

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(16), keras.layers.Dense(2)])
    noise = kc.structured.noise_inputs(model, 64)
    small = kc.prune_structured(model, 0.5, compensate="obs", data=noise)
    ```

    Reference:
        Wang et al., "Structurally Prune Anything: Any Architecture, Any Framework, Any Time",
        arXiv 2403.18955, section 3.3 (data-free OBSPA).
    """
    check_built(model, "noise_inputs")
    check_integer("num_samples", num_samples, minimum=1)
    check_integer("seed", seed, minimum=0)
    if not hasattr(model, "inputs"):
        raise ValueError(
            f"`model` {model.name!r} has no symbolic inputs, so the shapes of its inputs are "
            "unknown. Pass data instead."
        )
    rng = np.random.default_rng(seed)

    def draw(tensor):
        if not keras.backend.is_float_dtype(tensor.dtype):
            raise ValueError(
                f"`model` {model.name!r} takes an input {tensor.name!r} of dtype {tensor.dtype}; "
                "there is no noise for it. Pass data instead."
            )
        shape = [16 if length is None else length for length in tensor.shape[1:]]
        return rng.random((num_samples, *shape)).astype("float32")

    sequential = isinstance(model, keras.Sequential)
    found = keras.tree.map_structure(draw, model.inputs[0] if sequential else model.input)
    # A bare list could mean batches just as well.
    return (found,) if isinstance(found, (list, tuple)) else found
