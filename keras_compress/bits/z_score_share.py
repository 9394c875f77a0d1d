"""How many weights of a layer stick out."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_reweight.core.validation import check_number


def z_score_share(weights: Any, *, threshold: float = 1.0) -> float:
    """Share of weights that lie more than `threshold` standard deviations above their mean (ZD).

    A look at the weights alone, for ranking layers without any data: in a layer where few weights
    stick out, these few do the work and suffer from a coarse grid, so a smaller share counts as
    more important. Not for layers of different kinds, whose shares have little to do with one
    another; `layer_importance` offers better scores where there are data.

    Args:
        weights: Float array of any shape, all weights of a layer.
        threshold: Float, in standard deviations. Defaults to `1.0`.

    Returns:
        Float in `[0, 1]`, the share of `z = (weights - mean) / std` above `threshold`; `0.0` where
        all weights are the same.

    Raises:
        ValueError: If `weights` is empty or not finite, or `threshold` is not finite.
        TypeError: If `weights` is no array of numbers or `threshold` no number.

    Example:

    ```python
    import keras_compress as kc

    assert kc.bits.z_score_share([0.0, 0.0, 0.0, 0.0, 10.0]) == 0.2
    ```

    Reference:
        Dumitru et al., "Layer-Wise Quantization: A Pragmatic and Effective Method for Quantizing
        LLMs Beyond Integer Bit-Levels", arXiv 2406.17415, the z-score distribution.

    Deviations:
        The paper is understood to count z-scores above one; other thresholds are ours.
    """
    check_number("threshold", threshold)
    try:
        values = np.asarray(weights, "float64")
    except (TypeError, ValueError) as error:
        raise TypeError(f"`weights` must be an array of numbers, got {weights!r:.60}.") from error
    if not values.size or not np.isfinite(values).all():
        raise ValueError(f"`weights` must hold finite numbers, at least one, got {weights!r:.60}.")
    deviation = values.std()
    if not deviation > 0.0:
        return 0.0
    return float(np.mean((values - values.mean()) / deviation > threshold))
