"""Walsh-Hadamard transform of the rows of a matrix."""

from __future__ import annotations

import numpy as np


def hadamard_block(rows: int) -> int:
    """The largest power of two that divides `rows`."""
    return rows & -rows


def hadamard_transform(matrix: np.ndarray) -> np.ndarray:
    """`H @ matrix / sqrt(block)`: orthogonal, symmetric, its own inverse.

    `H` is Sylvester's matrix if the number of rows is a power of two. Other numbers are cut into
    blocks, as large as a power of two can be, that are transformed one by one.
    """
    matrix = np.asarray(matrix)
    block = hadamard_block(len(matrix))
    result = matrix.reshape(-1, block, *matrix.shape[1:])
    width = 1
    while width < block:
        parts = result.reshape(len(result), -1, 2, width, *matrix.shape[1:])
        first, second = parts[:, :, 0], parts[:, :, 1]
        result = np.stack([first + second, first - second], axis=2)
        width *= 2
    scale = np.asarray(np.sqrt(block), matrix.dtype)
    return result.reshape(matrix.shape) / scale
