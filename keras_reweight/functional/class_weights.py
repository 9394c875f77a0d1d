"""Weights of classes from their frequencies."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from keras_reweight.core.labels import check_class_counts
from keras_reweight.core.validation import check_choice, check_number

_METHODS = ("inverse_frequency", "class_balanced", "log_frequency")


def class_weights(
    class_counts: Sequence[float],
    *,
    method: str = "class_balanced",
    power: float = 1.0,
    beta: float = 0.9999,
) -> np.ndarray:
    """Weight of each class from its number of samples.

    Use it wherever a plain vector is wanted: `dict(enumerate(class_weights(counts)))` is the
    `class_weight` of `fit`, and `class_weights(counts)[y]` its `sample_weight`. The methods, with
    counts `n_c`, are those of the weightings of the same name:

    - `"inverse_frequency"`: `n_c^-power`, scaled to mean one over the classes;
    - `"class_balanced"`: `(1 - beta) / (1 - beta^n_c)`, one over the effective number of samples,
      scaled to mean one over the classes;
    - `"log_frequency"`: `1 - log(n_c / n_max)`, one for the most frequent class.

    Args:
        class_counts: List of samples per class, all positive.
        method: One of the methods above. Defaults to `"class_balanced"`.
        power: Float >= 0, exponent of `"inverse_frequency"`; `0.5` weights by the square root.
            Defaults to `1.0`.
        beta: Float in `[0, 1)`, of `"class_balanced"`; `0` gives equal weights, values near one
            those of the inverse frequency. Defaults to `0.9999`.

    Returns:
        Float64 NumPy array of shape `(classes,)`.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If a count is not positive, `method` unknown or a number out of its range.

    Example:

    ```python
    import numpy as np
    import keras_reweight as kr

    y = np.array([0, 0, 0, 0, 0, 1, 1, 2])
    weights = kr.functional.class_weights(kr.data.class_counts(y), beta=0.9)
    class_weight = dict(enumerate(weights))
    ```

    Reference:
        Cui et al., "Class-Balanced Loss Based on Effective Number of Samples", CVPR 2019,
        arXiv 1901.05555, section 4; Zhang et al., "Deep Long-Tailed Learning: A Survey",
        TPAMI 2023, arXiv 2110.04596, for weighted softmax.
    """
    counts = check_class_counts("class_counts", class_counts)
    check_choice("method", method, _METHODS)
    check_number("power", power, minimum=0.0)
    check_number("beta", beta, minimum=0.0, exclusive_maximum=1.0)
    if method == "log_frequency":
        return 1.0 - np.log(counts / counts.max())
    if method == "inverse_frequency":
        # Scaled first: a high power of large counts would underflow.
        weights = (counts.min() / counts) ** power
    elif beta == 0.0:
        weights = np.ones_like(counts)
    else:
        # 1 - beta^n by expm1, exact for beta near one.
        weights = -1.0 / np.expm1(counts * np.log(beta))
    return weights * len(counts) / weights.sum()
