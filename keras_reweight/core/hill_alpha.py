"""How heavy the tail of a spectrum is."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from keras_reweight.core.validation import check_choice

_STARTS = ("median", "peak", "best")
# Eigenvalues that are zero but for rounding (pruned matrices are singular), and tails whose
# eigenvalues are equal but for rounding (fresh recurrent kernels are orthogonal).
_ZERO = 1e-12
_EQUAL = 1e-5


class HillFit(NamedTuple):
    """A power law fitted to the tail of a spectrum."""

    alpha: float
    xmin: float
    distance: float


def hill_alpha(eigenvalues: np.ndarray, *, xmin: str = "median") -> float:
    """Exponent of the power law in the tail of a spectrum, by the Hill estimator.

    With the eigenvalues of `W^T W` in ascending order and the tail beginning at `l_i`,
    `alpha = 1 + n / sum(ln(l_k / l_i))` over the `n` of the tail. A small exponent, a heavy tail,
    marks a matrix that training has shaped; a random one has 3 to 6. The absolute value depends on
    the shape of the matrix: compare matrices by `layer_alphas`, which takes care of that.

    Args:
        eigenvalues: Float array of shape `(n,)`, squares of singular values in any order; zeros
            are left out.
        xmin: String, where the tail begins: `"median"` takes the larger half; `"peak"` the start
            near the peak of the histogram of the logarithms, `"best"` any start, whose power law is
            closest in the Kolmogorov-Smirnov distance. Defaults to `"median"`.

    Returns:
        Float > 1; NaN if there are fewer than two different eigenvalues to fit.

    Raises:
        ValueError: If `eigenvalues` are not one axis of finite numbers >= 0, or `xmin` is unknown.

    Example:

    ```python
    import numpy as np
    import keras_compress as kc

    heavy = np.random.default_rng(0).pareto(1.5, size=2000) + 1.0
    assert abs(kc.pruning.hill_alpha(heavy) - 2.5) < 0.2
    ```

    Reference:
        Hill, "A Simple General Approach to Inference About the Tail of a Distribution", 1975; for
        spectra of weights Martin and Mahoney, arXiv 1810.01075, and Zhou et al., "Temperature
        Balancing", arXiv 2312.00359; official code github.com/YefanZhou/TempBalance.

    Deviations:
        For `"peak"` the official code compares eigenvalues with the logarithm of the lower bound,
        which hardly bounds; ours are `0.95` and `1.5` times the peak.
    """
    return hill_fit(eigenvalues, xmin=xmin).alpha


def hill_fit(eigenvalues: np.ndarray, *, xmin: str = "median") -> HillFit:
    """`hill_alpha` with the begin of the tail and the distance of the fit."""
    check_choice("xmin", xmin, _STARTS)
    values = np.asarray(eigenvalues, "float64")
    if values.ndim != 1 or not np.isfinite(values).all() or (values < 0.0).any():
        raise ValueError(
            "`eigenvalues` must be one axis of finite numbers >= 0, got an array of shape "
            f"{values.shape}: {values!r:.60}."
        )
    values = np.sort(values)
    values = values[values > _ZERO * values.max(initial=0.0)]
    fits = [_fit_from(values, start) for start in _starts(values, xmin)]
    fits = [fit for fit in fits if np.isfinite(fit.alpha)]
    return min(fits, key=lambda fit: fit.distance, default=HillFit(np.nan, np.nan, np.nan))


def _starts(values, xmin):
    if len(values) < 2:
        return []
    if xmin == "median":
        return [len(values) // 2]
    starts = np.arange(len(values) - 1)
    if xmin == "best":
        return starts
    counts, edges = np.histogram(np.log10(values), bins=100)
    peak = 10.0 ** edges[counts.argmax()]
    chosen = values[:-1]
    return starts[(chosen >= 0.95 * peak) & (chosen <= 1.5 * peak)]


def _fit_from(values, start):
    tail = values[start:] / values[start]
    logs = np.log(tail).sum()
    if tail[-1] <= 1.0 + _EQUAL:
        return HillFit(np.nan, np.nan, np.nan)
    alpha = 1.0 + len(tail) / logs
    distance = np.abs(1.0 - tail ** (1.0 - alpha) - np.arange(len(tail)) / len(tail)).max()
    return HillFit(float(alpha), float(values[start]), float(distance))
