"""How alike two representations of the same samples are."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops


def linear_cka(x: Any, y: Any) -> float:
    """Centered kernel alignment of two representations of the same samples, with a linear kernel.

    `||Xc^T Yc||_F^2 / (||Xc^T Xc||_F ||Yc^T Yc||_F)` of the centered features: 1 where one
    representation is a rotation or a multiple of the other, 0 where they have nothing in common.
    The numbers of features may differ. With fewer samples than features everything looks alike;
    take several times as many.

    Args:
        x: Float array of shape `(samples, ...)`; axes after the first are one vector of features.
        y: Float array of shape `(samples, ...)`, for the same samples.

    Returns:
        Float in `[0, 1]`; 0 if one of them is constant.

    Raises:
        TypeError: If `x` or `y` is no array of numbers.
        ValueError: If they differ in length, hold fewer than two samples, or are not finite.

    Example:

    ```python
    import numpy as np
    from keras_compress.analysis import linear_cka

    x = np.random.default_rng(0).normal(size=(20, 3))
    assert abs(linear_cka(x, 2.0 * x[:, ::-1]) - 1.0) < 1e-9
    ```

    Reference:
        Kornblith et al., "Similarity of Neural Network Representations Revisited", ICML 2019,
        arXiv 1905.00414, equation 4.

    Cost:
        Products of samples times features squared, or of samples squared times features, whichever
        is smaller.
    """
    x, y = (_centered(name, value) for name, value in (("x", x), ("y", y)))
    if len(x) != len(y):
        raise ValueError(f"`y` must have as many samples as `x` ({len(x)}), got {len(y)}.")
    if len(x) < max(x.shape[1], y.shape[1]):
        first, second = x @ x.T, y @ y.T
        shared = float(np.sum(first * second))
    else:
        first, second = x.T @ x, y.T @ y
        shared = float(np.sum(np.square(x.T @ y)))
    scale = float(np.linalg.norm(first)) * float(np.linalg.norm(second))
    return min(shared / scale, 1.0) if scale > 0.0 else 0.0


def _centered(name, value):
    try:
        array = ops.convert_to_numpy(value) if ops.is_tensor(value) else np.asarray(value)
        array = array.astype("float64")
    except (TypeError, ValueError) as error:
        raise TypeError(f"`{name}` must be an array of numbers, got {value!r:.60}.") from error
    if array.ndim < 1 or len(array) < 2:
        raise ValueError(f"`{name}` must hold at least two samples, got shape {array.shape}.")
    array = array.reshape(len(array), -1)
    if not np.isfinite(array).all():
        raise ValueError(f"`{name}` ({value!r:.60}) must be finite.")
    array = array - array.mean(axis=0)
    # The ratio does not depend on the scale, and squares of squares do not overflow.
    largest = np.abs(array).max(initial=0.0)
    return array / largest if largest > 0.0 else array
