"""Whether two rankings agree."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

#: Largest number of samples without ties for which the p-value is counted out.
_EXACT = 33


def kendall_tau(x: Any, y: Any) -> tuple[float, float]:
    """Kendall's rank correlation tau-b of two lists of numbers, and its p-value.

    The share of pairs in the same order minus the share of pairs in opposite orders, corrected for
    ties. The p-value is two-sided, for the hypothesis that the orders have nothing to do with each
    other: counted out for up to 33 samples without ties, from the normal distribution otherwise.

    Args:
        x: Float array of shape `(samples,)`.
        y: Float array of shape `(samples,)`.

    Returns:
        Floats `(tau, p_value)`; both are NaN if `x` or `y` is constant.

    Raises:
        TypeError: If `x` or `y` is no array of numbers.
        ValueError: If they are no vectors of one length of at least 2, or hold NaN.

    Example:

    ```python
    from keras_compress.analysis import kendall_tau

    tau, p_value = kendall_tau([1, 2, 3, 4], [1, 2, 4, 3])
    assert abs(tau - 2 / 3) < 1e-12 and abs(p_value - 1 / 3) < 1e-12
    ```

    Reference:
        Kendall, "Rank Correlation Methods", 4th edition, 1970, chapters 3 and 5.

    Cost:
        All pairs, `samples^2` numbers.
    """
    x, y = _vector("x", x), _vector("y", y)
    if len(x) != len(y):
        raise ValueError(f"`y` must be as long as `x` ({len(x)}), got {len(y)}.")
    pairs = np.triu_indices(len(x), 1)
    signs = [np.sign(values[pairs[0]] - values[pairs[1]]) for values in (x, y)]
    score = float(np.sum(signs[0] * signs[1]))
    total = len(x) * (len(x) - 1) / 2.0
    untied = [float(np.count_nonzero(sign)) for sign in signs]
    if not all(untied):
        return math.nan, math.nan
    tau = score / math.sqrt(untied[0] * untied[1])
    if untied == [total, total] and len(x) <= _EXACT:
        return tau, _exact(len(x), round((total - abs(score)) / 2.0))
    deviation = math.sqrt(_variance(x, y))
    return tau, math.erfc(abs(score) / deviation / math.sqrt(2.0)) if deviation else 1.0


def _vector(name, value):
    try:
        array = np.asarray(value, "float64")
    except (TypeError, ValueError) as error:
        raise TypeError(f"`{name}` must be an array of numbers, got {value!r:.60}.") from error
    if array.ndim != 1 or len(array) < 2:
        raise ValueError(f"`{name}` must have shape (samples,), at least 2, got {array.shape}.")
    if np.isnan(array).any():
        raise ValueError(f"`{name}` holds NaN: {value!r:.60}.")
    return array


def _exact(size, discordant):
    """Two-sided probability of at most so many inversions in a random permutation, or as few."""
    counts = np.ones(1)
    for number in range(2, size + 1):
        # The last of `number` elements adds 0 to number - 1 inversions, each as likely.
        counts = np.convolve(counts, np.full(number, 1.0 / number))
    return float(min(1.0, 2.0 * np.sum(counts[: discordant + 1])))


def _variance(x, y):
    """Variance of the number of concordant minus discordant pairs, given the ties."""
    size = len(x)
    ties = [np.unique(values, return_counts=True)[1].astype("float64") for values in (x, y)]

    def total(*factors):
        return [float(np.sum(np.prod([f(t) for f in factors], axis=0))) for t in ties]

    pairs = total(lambda t: t, lambda t: t - 1)
    triples = total(lambda t: t, lambda t: t - 1, lambda t: t - 2)
    weighted = total(lambda t: t, lambda t: t - 1, lambda t: 2 * t + 5)
    all_pairs = size * (size - 1.0)
    variance = (all_pairs * (2 * size + 5) - sum(weighted)) / 18.0
    variance += pairs[0] * pairs[1] / (2.0 * all_pairs)
    if size > 2:
        variance += triples[0] * triples[1] / (9.0 * all_pairs * (size - 2.0))
    return variance
