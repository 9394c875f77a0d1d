"""Remove weights one input at a time and let the inputs that follow make up for it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def inverse_factor(gram: np.ndarray, damping: float) -> tuple[np.ndarray, np.ndarray]:
    """Upper Cholesky factor of the inverse of the damped Gram matrix, and the dead inputs.

    Row `j` of the factor, divided by its diagonal, is row `j` of the inverse for the inputs from
    `j` on: what the Optimal Brain Surgeon needs when inputs before `j` are settled.
    """
    gram = np.array(gram, "float64")
    dead = np.diag(gram) == 0.0
    gram[dead, dead] = 1.0
    gram[np.diag_indices_from(gram)] += damping * np.mean(np.diag(gram))
    return np.linalg.cholesky(np.linalg.inv(gram)).T, dead


def obs_sweep(
    weight: np.ndarray,
    factor: np.ndarray,
    choose: Callable[[slice, np.ndarray], np.ndarray],
    block_size: int,
) -> tuple[np.ndarray, np.ndarray]:
    """The pruned weights `(rows, outputs)`, compensated, and the mask of those kept.

    Args:
        weight: Float64 array `(rows, outputs)`.
        factor: Float64 array `(rows, rows)` from `inverse_factor`.
        choose: `(rows of a block, saliencies of the block) -> bool array`, true where pruned.
        block_size: Rows for which is chosen at once, after all rows before are settled.
    """
    weight = weight.copy()
    keep = np.ones(weight.shape, "bool")
    diagonal = np.diag(factor)
    for begin in range(0, len(weight), block_size):
        block = slice(begin, min(begin + block_size, len(weight)))
        saliency = np.square(weight[block] / diagonal[block, None])
        keep[block] = ~choose(block, saliency)
        errors = np.zeros(weight[block].shape)
        for row in range(block.start, block.stop):
            error = np.where(keep[row], 0.0, weight[row]) / diagonal[row]
            errors[row - begin] = error
            weight[row : block.stop] -= np.outer(factor[row, row : block.stop], error)
        weight[block] = np.where(keep[block], weight[block], 0.0)
        weight[block.stop :] -= factor[block, block.stop :].T @ errors
    return weight, keep
