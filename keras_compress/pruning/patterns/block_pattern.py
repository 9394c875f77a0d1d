"""Rectangles of a matrix go as a whole."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np

from keras_compress.pruning.patterns.pattern import Pattern
from keras_reweight.core.validation import check_choice, check_integer

_POOLINGS = ("mean", "max")


@keras.saving.register_keras_serializable(package="keras_compress")
class BlockPattern(Pattern):
    """Prune blocks of weights, for kernels that skip blocks of zeros.

    A variable is taken as a matrix with its last axis as columns and all others as rows. It is cut
    into blocks from the upper left corner; those at the right and lower edges may be smaller. A
    block is worth the mean or the largest score in it. Coarser blocks are faster where they are
    executed, and cost more accuracy. The sparsity counts blocks, so that smaller ones at the edges
    let the share of zeros differ a little from it.

    Args:
        block_shape: Tuple of two integers >= 1, rows and columns of a block.
        pooling: `"mean"` or `"max"`. Defaults to `"mean"`.

    Returns:
        A `Pattern` for `Pruning` and `prune_weights`.

    Raises:
        TypeError: If `block_shape` is no pair of integers.
        ValueError: If a side is below 1 or `pooling` is unknown.

    Example:

    ```python
    import keras
    import keras_compress as kc

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)])
    pattern = kc.pruning.BlockPattern((4, 2))
    (mask,) = kc.pruning.prune_weights(model, 0.5, pattern=pattern).masks.values()
    assert set(mask.reshape(2, 4, 2, 2).sum(axis=(1, 3)).ravel().tolist()) == {0, 8}
    ```

    Reference:
        Gray et al., "GPU Kernels for Block-Sparse Weights", 2017; pooling as in
        github.com/tensorflow/model-optimization.

    Deviations:
        The latter pools absolute weights of two-dimensional variables; here it is the scores of any
        criterion, and convolution kernels are matrices too.
    """

    def __init__(self, block_shape: Sequence[int], *, pooling: str = "mean"):
        if not isinstance(block_shape, (tuple, list)) or len(block_shape) != 2:
            raise TypeError(f"`block_shape` must be a pair of integers, got {block_shape!r}.")
        for side in block_shape:
            check_integer("block_shape", side, minimum=1)
        check_choice("pooling", pooling, _POOLINGS)
        self.block_shape = block_shape
        self.pooling = pooling

    def units(self, score: np.ndarray) -> np.ndarray:
        rows = score.reshape(-1, score.shape[-1])
        grid = self._grid(score.shape)
        height, width = self.block_shape
        missing = [
            (0, number * side - length)
            for number, side, length in zip(grid, (height, width), rows.shape, strict=True)
        ]
        padded = np.pad(rows.astype("float64"), missing, constant_values=np.nan)
        blocks = padded.reshape(grid[0], height, grid[1], width).swapaxes(1, 2)
        gone = (np.isneginf(blocks) | np.isnan(blocks)).all(axis=(2, 3))
        # Weights that went one by one before there were blocks count as zero.
        blocks = np.where(np.isneginf(blocks), 0.0, blocks)
        pooled = getattr(np, f"nan{self.pooling}")(blocks, axis=(2, 3))
        return np.where(gone, -np.inf, pooled)

    def expand(self, mask: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        height, width = self.block_shape
        rows = int(np.prod(shape[:-1]))
        full = mask.repeat(height, axis=0).repeat(width, axis=1)
        return full[:rows, : shape[-1]].reshape(shape)

    def num_units(self, shape: tuple[int, ...]) -> int:
        return int(np.prod(self._grid(shape)))

    def _grid(self, shape):
        sides = (int(np.prod(shape[:-1])), shape[-1])
        return tuple(
            -(-length // side) for length, side in zip(sides, self.block_shape, strict=True)
        )

    def get_config(self) -> dict:
        return {"block_shape": self.block_shape, "pooling": self.pooling}
