"""Soft labels from the outcomes of samples with similar predictions."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_reweight.core.validation import check_choice, check_integer, check_number


def empirical_probability_targets(
    probability: Any,
    outcome: Any,
    *,
    method: str = "bin",
    num_bins: int = 5,
    bandwidth: float = 0.05,
    window: int = 100,
    sample_weight: Any = None,
) -> np.ndarray:
    """Share of positive outcomes among samples that the model finds about equally likely.

    Use it where 0/1 outcomes are draws from probabilities that are themselves wanted (risk,
    weather), and training on the outcomes makes predictions run to 0 and 1. Samples are sorted by
    predicted probability; a target is the weighted mean of outcomes

    - `"bin"`: in one of `num_bins` slices of equal count;
    - `"kde"`: of the `window` samples before and the `window - 1` after, the sample itself
      included, weighted by `exp(-(p_j - p_i)^2 / (2 * bandwidth^2))`.

    Args:
        probability: Float array of shape `(samples,)` or `(samples, 1)`, in `[0, 1]`.
        outcome: Integer or float array of shape `(samples,)` or `(samples, 1)`, in `[0, 1]`.
        method: `"bin"` or `"kde"`. Defaults to `"bin"`.
        num_bins: Integer >= 1; slices left empty are skipped. Defaults to `5`.
        bandwidth: Float > 0, standard deviation of the kernel. Defaults to `0.05`.
        window: Integer >= 1, half width of the window in samples. Defaults to `100`.
        sample_weight: Float array of shape `(samples,)`, >= 0, or `None` for equal weights. Where
            all weights of a mean are zero, it is the plain one. Defaults to `None`.

    Returns:
        Float64 NumPy array of shape `(samples,)`, in the order of the samples. Equal probabilities
        keep the order of the samples when sorted.

    Raises:
        TypeError: If `num_bins` or `window` is not an integer, or an array holds no numbers.
        ValueError: If an argument is out of range, or the arrays do not fit each other.

    Example:

    ```python
    import numpy as np
    import keras_reweight as kr

    probability = np.array([0.1, 0.4, 0.35, 0.8])
    outcome = np.array([0, 1, 0, 1])
    targets = kr.functional.empirical_probability_targets(probability, outcome, num_bins=2)
    ```

    Reference:
        Liu et al., "Deep Probability Estimation", ICML 2022, arXiv 2111.10734 (CaPE).

    Deviations:
        `sample_weight` and the stable sort are ours; slices hold equal counts whatever the weights.

    Cost:
        A sort, and for `"kde"` `2 * window * samples` kernel values.
    """
    check_choice("method", method, ("bin", "kde"))
    check_integer("num_bins", num_bins, minimum=1)
    check_number("bandwidth", bandwidth, exclusive_minimum=0.0)
    check_integer("window", window, minimum=1)
    probability = _column("probability", probability)
    size = len(probability)
    outcome = _column("outcome", outcome, size)
    weight = np.ones(size)
    if sample_weight is not None:
        weight = _column("sample_weight", sample_weight, size, maximum=np.inf)
    order = np.argsort(probability, kind="stable")
    p, y, w = probability[order], outcome[order], weight[order]
    if method == "bin":
        edges = np.arange(num_bins + 1) * size // num_bins
        found = np.empty(size)
        for start, stop in zip(edges[:-1], edges[1:], strict=True):
            if stop > start:
                found[start:stop] = _mean(y[start:stop], w[start:stop], np.ones(stop - start))
    else:
        found = np.array(
            [
                _mean(y[near], w[near], np.exp(-0.5 * ((p[near] - p[i]) / bandwidth) ** 2))
                for i, near in ((i, slice(max(i - window, 0), i + window)) for i in range(size))
            ]
        )
    targets = np.empty(size)
    targets[order] = found
    return targets


def _mean(values, weight, kernel):
    total = np.sum(weight * kernel)
    # Without any weight, or where the weights underflow with the kernel.
    weight = weight * kernel if total > 0 else kernel
    return np.sum(weight * values) / np.sum(weight)


def _column(name, value, size=None, maximum=1.0):
    try:
        array = np.asarray(value, "float64")
    except (TypeError, ValueError) as error:
        raise TypeError(f"`{name}` must be an array of numbers, got {value!r}.") from error
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1 or not array.size or (size is not None and len(array) != size):
        wanted = "(samples,)" if size is None else f"({size},)"
        raise ValueError(f"`{name}` must have shape {wanted}, got {array.shape}.")
    if not ((array >= 0) & (array <= maximum)).all() or not np.isfinite(array).all():
        wanted = "be >= 0 and finite" if np.isinf(maximum) else "lie in [0, 1]"
        wrong = array[~((array >= 0) & (array <= maximum) & np.isfinite(array))][0]
        raise ValueError(f"`{name}` must {wanted}, got {float(wrong)!r}.")
    return array
