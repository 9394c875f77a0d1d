"""How much of what two models say is the same."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops


def prediction_agreement(first: Any, second: Any) -> float:
    """Share of samples for which two models choose the same class.

    Use it to see how much of the behavior of a model survives compression: two models of the same
    accuracy may still disagree on many samples.

    Args:
        first: Float array of shape `(..., classes)`, scores or probabilities of one model.
        second: Float array of the same shape, those of the other.

    Returns:
        Float in `[0, 1]`.

    Raises:
        TypeError: If `first` or `second` is no array of numbers.
        ValueError: If the shapes differ, there is no axis of classes, or a score is not finite.

    Example:

    ```python
    import numpy as np
    from keras_compress.analysis import prediction_agreement

    first = np.array([[0.9, 0.1], [0.2, 0.8]])
    assert prediction_agreement(first, np.array([[3.0, 1.0], [1.0, 0.0]])) == 0.5
    ```

    Reference:
        Yang et al., "A Three-regime Model of Network Pruning", ICML 2023, arXiv 2305.18383;
        github.com/YefanZhou/ThreeRegimePruning.
    """
    first, second = paired_scores(first, second)
    return float(np.mean(first.argmax(axis=-1) == second.argmax(axis=-1)))


def paired_scores(first: Any, second: Any) -> tuple[np.ndarray, np.ndarray]:
    """Two float64 arrays of scores of one shape, with classes on the last axis."""
    arrays = []
    for name, value in (("first", first), ("second", second)):
        try:
            array = ops.convert_to_numpy(value) if ops.is_tensor(value) else np.asarray(value)
            array = array.astype("float64")
        except (TypeError, ValueError) as error:
            raise TypeError(f"`{name}` must be an array of numbers, got {value!r:.60}.") from error
        if array.ndim < 2 or not array.size:
            raise ValueError(f"`{name}` must have shape (..., classes), got {array.shape}.")
        if not np.isfinite(array).all():
            raise ValueError(f"`{name}` ({value!r:.60}) must be finite.")
        arrays.append(array)
    if arrays[0].shape != arrays[1].shape:
        raise ValueError(
            f"`second` must have the shape of `first`, {arrays[0].shape}, got {arrays[1].shape}."
        )
    return arrays[0], arrays[1]
