"""How unequal the weights are: norms against norms."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_reweight.core.validation import check_integer, check_number


def pq_index(
    weights: Any, *, p: float = 0.5, q: float = 1.0, mask: Any = None, axis: int | None = None
) -> float | np.ndarray:
    """Sparsity of weights as the ratio of two norms, without a threshold.

    `I(w) = 1 - d**(1/q - 1/p) * ||w||_p / ||w||_q` over the `d` surviving entries: 0 where all have
    the same magnitude, towards 1 where few hold everything. It does not change when the weights are
    scaled. While a model is pruned it first falls, rises when the rest is forced to do the work of
    the removed, and falls for good when the model collapses. What is pruned is left out by `mask`;
    zeros that are not masked count as small weights.

    Args:
        weights: Float array, tensor or variable of any shape.
        p: Float > 0, exponent of the numerator. Defaults to `0.5`.
        q: Float > `p`, exponent of the denominator. Defaults to `1.0`.
        mask: Bool array of the shape of `weights`, true where a weight is still there; `None` for
            all.
        axis: Integer, the axis that makes one vector: `0` for the output units of a dense kernel.
            `None` takes the whole array.

    Returns:
        Float, or float array of the shape of `weights` without `axis`; 0 where nothing survives or
        all that survives is zero.

    Raises:
        TypeError: If `p` or `q` is not a number, or `axis` no integer.
        ValueError: If `0 < p < q` does not hold, `mask` has another shape, there is no such `axis`,
            or a weight is NaN.

    Example:

    ```python
    import numpy as np
    import keras_compress as kc

    kernel = np.array([[1.0, 5.0], [1.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    assert kc.pruning.pq_index(kernel, axis=0).tolist() == [0.0, 0.75]
    ```

    Reference:
        Diao et al., "Pruning Deep Neural Networks from a Sparsity Perspective", ICLR 2023,
        arXiv 2302.05601, definition 1; official code
        github.com/diaoenmao/Pruning-Deep-Neural-Networks-from-a-Sparsity-Perspective.

    Deviations:
        The official code gives NaN for weights that are all zero.
    """
    check_exponents(p, q)
    sizes, kept = magnitudes(weights, mask)
    check_axis(axis, sizes.ndim)
    # The ratio does not depend on the scale, and powers of scaled weights do not overflow.
    largest = sizes.max(axis=axis, keepdims=True, initial=0.0)
    scaled = np.divide(sizes, largest, out=np.zeros_like(sizes), where=largest > 0.0)
    number = kept.sum(axis=axis)
    powers = [(scaled**power).sum(axis=axis) / np.maximum(number, 1) for power in (p, q)]
    means = [mean ** (1.0 / power) for mean, power in zip(powers, (p, q), strict=True)]
    ratio = np.divide(means[0], means[1], out=np.ones_like(means[0]), where=means[1] > 0.0)
    index = np.maximum(1.0 - ratio, 0.0)
    return float(index) if np.ndim(index) == 0 else index


def check_exponents(p: Any, q: Any) -> None:
    """Raise unless `0 < p < q`."""
    check_number("p", p, exclusive_minimum=0.0)
    check_number("q", q)
    if q <= p:
        raise ValueError(f"`q` must be greater than `p`={p!r}, got {q!r}.")


def check_axis(axis: Any, rank: int) -> None:
    """Raise unless `axis` is `None` or one of the axes of an array."""
    if axis is not None:
        check_integer("axis", axis, minimum=-rank, maximum=rank - 1)


def magnitudes(weights: Any, mask: Any) -> tuple[np.ndarray, np.ndarray]:
    """Absolute values in float64, zero where the mask is false, and the mask as an array."""
    if isinstance(weights, keras.Variable) or ops.is_tensor(weights):
        weights = ops.convert_to_numpy(ops.convert_to_tensor(weights))
    sizes = np.abs(np.asarray(weights).astype("float64"))
    kept = np.ones(sizes.shape, "bool") if mask is None else np.asarray(mask, "bool")
    if kept.shape != sizes.shape:
        raise ValueError(
            f"`mask` must have the shape {sizes.shape} of `weights`, got {kept.shape}."
        )
    sizes = np.where(kept, sizes, 0.0)
    if not np.isfinite(sizes).all():
        raise ValueError("`weights` must be finite, got NaN or infinite weights.")
    return sizes, kept
