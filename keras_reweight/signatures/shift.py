"""Patched weights from original ones, without whole arrays of float64."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from keras_reweight.signatures.encoded import as_matrix, row_blocks

#: Strength, coefficient, and what reads rows of the stored change.
Term = tuple[float, float, Callable[[int, int], np.ndarray]]


def shifted(base: np.ndarray, terms: Sequence[Term], path: str) -> np.ndarray:
    """A new array `base + sum of strength * (coefficient * change)`.

    Summed in float64 in the order of the terms and cast once; where the sum is zero, the bits of
    `base` stay.

    Args:
        base: Array of any floating dtype, C-contiguous.
        terms: What is added.
        path: Of the weight, for the error.

    Raises:
        ValueError: If a finite number becomes infinite or NaN.
    """
    if not terms:
        return base.copy()
    moved = np.empty_like(base)
    before, after = (array.reshape(as_matrix(base.shape)) for array in (base, moved))
    for start, stop in row_blocks(base.shape):
        rows, out = before[start:stop], after[start:stop]
        with np.errstate(over="ignore", invalid="ignore"):
            total = _sum(terms, start, stop)
            still = total == 0.0
            total += rows
            out[...] = total
        finite = np.isfinite(out)
        if not finite.all() and (np.isfinite(rows) & ~finite).any():
            raise ValueError(f"`alpha`: weight {path!r} would overflow {base.dtype}.")
        # Adding zero would turn -0.0 into 0.0.
        if still.any():
            np.copyto(out, rows, where=still)
    return moved


def _sum(terms, start, stop):
    total = None
    for strength, coefficient, read in terms:
        change = read(start, stop)
        for factor in (coefficient, strength):
            if factor != 1.0:
                change *= factor
        total = change if total is None else np.add(total, change, out=total)
    return total
