"""N of every M weights survive."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from keras_compress.pruning.patterns.pattern import Pattern
from keras_reweight.core.kernel_axes import kernel_axes
from keras_reweight.core.validation import check_integer


@keras.saving.register_keras_serializable(package="keras_compress")
class NMPattern(Pattern):
    """Of every `m` weights in a row along the inputs, the best `n` stay.

    `2:4` is what the sparse units of recent GPUs execute. At sparsity `(m - n) / m` every group has
    exactly `n` weights left; below it, as on a schedule's way up, only weights outside the best `n`
    of their group go; above it the pattern cannot reach and refuses. Where the inputs are no
    multiple of `m`, the last group is filled up with zeros, which go first; such a variable ends
    with more than `n / m` of its weights.

    Args:
        n: Integer >= 1, weights of a group that stay. Defaults to `2`.
        m: Integer > `n`, weights of a group. Defaults to `4`.
        axis: Integer, the axis of the kernels along which groups are made; `None` takes the axes
            that the layer sums over, the inputs: the last but one of dense and convolution kernels,
            the last of transposed convolutions, those of the equation in `EinsumDense` and
            attention. Defaults to `None`.

    Returns:
        A `Pattern` for `Pruning` and `prune_weights`.

    Raises:
        TypeError: If an argument is no integer.
        ValueError: If `n < 1`, `m <= n` or a kernel has no such `axis`; in `check`, if the sparsity
            is above `(m - n) / m`.

    Example:

    ```python
    import keras
    import keras_compress as kc

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)])
    report = kc.pruning.prune_weights(model, 0.5, pattern=kc.pruning.NMPattern(2, 4))
    (mask,) = report.masks.values()
    assert (mask.reshape(2, 4, 4).sum(axis=1) == 2).all()
    ```

    Reference:
        Mishra et al., "Accelerating Sparse Deep Neural Networks", arXiv 2104.08378; padding as in
        github.com/tensorflow/model-optimization.

    Deviations:
        The latter counts zeros (`m_by_n` has `m` zeros in `n`), and fixes the mask at its first
        update.
    """

    def __init__(self, n: int = 2, m: int = 4, *, axis: int | None = None):
        check_integer("n", n, minimum=1)
        check_integer("m", m)
        if m <= n:
            raise ValueError(f"`m` must be greater than `n`={n}, got {m!r}.")
        if axis is not None:
            check_integer("axis", axis)
        self.n = n
        self.m = m
        self.axis = axis
        self._grouped = (-2 if axis is None else axis,)

    def for_variable(self, variable: keras.Variable, layer: Any) -> NMPattern:
        rank = len(variable.shape)
        pattern = type(self).from_config(self.get_config())
        if self.axis is None:
            pattern._grouped = kernel_axes(tuple(variable.shape), layer).inputs
        elif not -rank <= self.axis < rank:
            raise ValueError(
                f"`axis`={self.axis} is none of {variable.path!r} with the shape "
                f"{tuple(variable.shape)}."
            )
        return pattern

    def check(self, sparsity: float) -> None:
        highest = (self.m - self.n) / self.m
        if sparsity > highest + 1e-9:
            raise ValueError(
                f"`sparsity`={sparsity!r} cannot be reached with {self.n} of {self.m} weights "
                f"kept: at most {highest:.6f}. Lower `sparsity` or `n`."
            )

    def units(self, score: np.ndarray) -> np.ndarray:
        ends = tuple(range(-len(self._grouped), 0))
        moved = np.moveaxis(score, self._grouped, ends)
        rows = moved.reshape(-1, int(np.prod(moved.shape[moved.ndim - len(ends) :])))
        padding = -rows.shape[1] % self.m
        # Padding is gone before any weight goes.
        padded = np.pad(rows, ((0, 0), (0, padding)), constant_values=-np.inf)
        groups = padded.reshape(len(rows), -1, self.m)
        best = np.argsort(groups, axis=-1, kind="stable")[..., self.m - self.n :]
        kept = np.zeros(groups.shape, "bool")
        np.put_along_axis(kept, best, True, axis=-1)
        # What is gone stays gone, even if a group has lost more than the pattern asks for.
        kept = np.where(kept & ~np.isneginf(groups), np.inf, groups)
        flat = kept.reshape(len(rows), -1)[:, : rows.shape[1]]
        return np.moveaxis(flat.reshape(moved.shape), ends, self._grouped)

    def get_config(self) -> dict:
        return {"n": self.n, "m": self.m, "axis": self.axis}
