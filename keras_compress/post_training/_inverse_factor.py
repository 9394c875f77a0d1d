"""Upper triangular factors of inverse matrices."""

from __future__ import annotations

import numpy as np

_ATTEMPTS = 50
_SMALL = 64


def damped_factor(gram: np.ndarray, damping: float, path: str = "layer") -> np.ndarray:
    """Upper triangular `U` with `U^T U = inv(gram + damp I)`, `damp = damping * mean(diag)`.

    Where the sum is not positive definite in floating point, `damp` is added again, up to 50 times.

    Raises:
        ValueError: If that does not help, or `gram` is not finite.
    """
    damped = np.array(gram, "float64")
    diagonal = np.diag_indices_from(damped)
    step = damping * float(np.mean(damped[diagonal])) or damping
    if not np.all(np.isfinite(damped)):
        raise ValueError(f"`gram` of {path!r} has values that are not finite.")
    for _ in range(_ATTEMPTS):
        damped[diagonal] += step
        try:
            # With both axes reversed the lower factor of Cholesky is an upper one.
            upper = np.linalg.cholesky(damped[::-1, ::-1])[::-1, ::-1]
        except np.linalg.LinAlgError:
            continue
        return inverse_of_upper(upper)
    raise ValueError(
        f"`gram` of {path!r} is not positive definite, also after {_ATTEMPTS} times the damping. "
        "Use more calibration data or a larger `damping`."
    )


def inverse_of_upper(upper: np.ndarray) -> np.ndarray:
    """The inverse of an upper triangular matrix, by halves so that it is matrix products."""
    size = len(upper)
    if size <= _SMALL:
        return np.triu(np.linalg.inv(upper))
    half = size // 2
    first, last = inverse_of_upper(upper[:half, :half]), inverse_of_upper(upper[half:, half:])
    result = np.zeros_like(upper)
    result[:half, :half] = first
    result[half:, half:] = last
    result[:half, half:] = -first @ (upper[:half, half:] @ last)
    return result
