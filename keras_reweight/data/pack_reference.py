"""Targets of sequence losses that compare with a model before training."""

from __future__ import annotations

from typing import Any

import numpy as np

_LARGEST_EXACT = 2**24


def pack_reference(tokens: Any, reference: Any) -> np.ndarray:
    """Put one reference value per sequence behind its tokens, for `NPOLoss`.

    Keras takes one array as the targets of a single output, so the reference travels as the last
    column of it. Float32 holds every token id below 2**24 exactly.

    Args:
        tokens: Integer array of shape `(num_samples, time)`: the token each position predicts.
        reference: Float array of shape `(num_samples,)`, such as `kr.functional.sequence_nll` of
            the model before unlearning.

    Returns:
        Float32 array of shape `(num_samples, time + 1)`.

    Raises:
        TypeError: If `tokens` are not integers or `reference` are not real numbers.
        ValueError: If a shape is another, an id is too large for float32, or a reference is not
            finite.

    Example:

    ```python
    import numpy as np
    import keras_reweight as kr

    y = kr.data.pack_reference(np.array([[3, 1], [2, -100]]), np.array([4.0, 2.5]))
    ```

    Reference:
        None; the targets of `NPOLoss`.
    """
    tokens, reference = np.asarray(tokens), np.asarray(reference)
    if not np.issubdtype(tokens.dtype, np.integer):
        raise TypeError(f"`tokens` must be an integer array, got dtype {tokens.dtype}.")
    if not np.issubdtype(reference.dtype, np.number):
        raise TypeError(f"`reference` must be an array of numbers, got dtype {reference.dtype}.")
    if tokens.ndim != 2:
        raise ValueError(f"`tokens` must have shape (num_samples, time), got {tokens.shape}.")
    if reference.shape != tokens.shape[:1]:
        raise ValueError(
            f"`reference` must have shape {tokens.shape[:1]}, one value per sequence, got "
            f"{reference.shape}."
        )
    if tokens.size and np.abs(tokens).max() >= _LARGEST_EXACT:
        raise ValueError(f"`tokens` must lie below 2**24, got {np.abs(tokens).max()}.")
    if not np.isfinite(reference).all():
        raise ValueError(f"`reference` must be finite, got {reference}.")
    return np.concatenate([tokens, reference[:, None]], axis=1).astype("float32")
