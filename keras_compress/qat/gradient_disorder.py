"""How often a gradient changes its sign."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np


def gradient_disorder(gradients: Any) -> np.ndarray:
    """Share of steps in which a gradient has the opposite sign of the step before.

    Use it on the recorded gradients of a learned scale: near one half they are noise, near zero the
    scale is pushed one way all the time, near one it bounces between two values. During training
    `OscillationMonitor` measures it and `ScaleGradientFreezing` acts on it. A gradient of zero has
    no sign: it counts as a step without a flip.

    Args:
        gradients: Float array of shape `(steps, ...)`, at least two steps.

    Returns:
        Float64 array of shape `(...)`: for each entry the flips over `steps - 1`.

    Raises:
        TypeError: If `gradients` is not made of numbers.
        ValueError: If there are fewer than two steps or values that are not finite.

    Example:

    ```python
    import keras_compress as kc

    assert kc.qat.gradient_disorder([0.1, -0.2, 0.1, -0.3]) == 1.0
    assert kc.qat.gradient_disorder([0.1, 0.2, 0.1, 0.3]) == 0.0
    ```

    Reference:
        Jiang et al., "GAQAT: gradient-adaptive quantization-aware training for domain
        generalization", arXiv 2412.05551 (gradient disorder).

    Deviations:
        Written from the description in the abstract and in public reviews; no official code was
        found.
    """
    try:
        values = np.asarray(
            keras.ops.convert_to_numpy(gradients) if keras.ops.is_tensor(gradients) else gradients,
            "float64",
        )
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"`gradients` must be an array of numbers, got {gradients!r} of type "
            f"{type(gradients).__name__}."
        ) from error
    if values.ndim < 1 or len(values) < 2:
        raise ValueError(
            f"`gradients` must hold at least two steps along its first axis, got shape "
            f"{values.shape}."
        )
    if not np.all(np.isfinite(values)):
        raise ValueError("`gradients` has values that are not finite (nan or inf).")
    signs = np.sign(values)
    return np.mean(signs[1:] * signs[:-1] < 0, axis=0)
