"""Spectra of kernels, and the exponents of their tails."""

from __future__ import annotations

import numpy as np

from keras_reweight.core.hill_alpha import hill_alpha


def eigenvalues(matrices: np.ndarray) -> np.ndarray:
    """Those of `W^T W` of a stack of matrices `(..., rows, columns)`, all together."""
    return np.linalg.svd(matrices, compute_uv=False).reshape(-1) ** 2


def farms_alpha(
    matrices: np.ndarray, *, rows: int = 100, num_windows: int = 9, xmin: str = "median"
) -> float:
    """Exponent of the tail that does not depend on the aspect ratio of the matrices.

    One matrix (a dense kernel) is seen through square windows, all fitted together. A stack of
    matrices (places of a filter) is cut into squares along the longer side, fitted one by one; the
    result is the mean of their exponents, NaN if none can be fitted.
    """
    if len(matrices) == 1:
        spectra = [eigenvalues(square_windows(matrices[0], rows, num_windows))]
    else:
        spectra = [eigenvalues(part) for part in squares(matrices)]
    fits = [hill_alpha(spectrum, xmin=xmin) for spectrum in spectra]
    fits = [alpha for alpha in fits if np.isfinite(alpha)]
    return float(np.mean(fits)) if fits else float("nan")


def square_windows(matrix: np.ndarray, rows: int, num_windows: int) -> np.ndarray:
    """Square windows spread evenly over a matrix, shape `(windows, side, side)`."""
    side = min(rows, *matrix.shape)
    places = []
    for length in matrix.shape:
        step = max(1, (length - side) // (num_windows - 1))
        places.append(np.unique(np.minimum(np.arange(num_windows) * step, length - side)))
    return np.stack([matrix[i : i + side, j : j + side] for i in places[0] for j in places[1]])


def squares(matrices: np.ndarray) -> list[np.ndarray]:
    """Squares along the longer side of `(places, inputs, outputs)`, each with all places."""
    if matrices.shape[1] < matrices.shape[2]:
        matrices = matrices.swapaxes(1, 2)
    side = matrices.shape[2]
    return [
        matrices[:, begin : begin + side] for begin in range(0, matrices.shape[1] - side + 1, side)
    ]
