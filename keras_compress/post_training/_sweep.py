"""Round one input after the other and let the inputs that follow make up for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from keras_compress.post_training._row_ranges import RowRanges

#: Rows whose effect on the rows after them is applied at once.
BLOCK_SIZE = 128


class Corrections(NamedTuple):
    """What GPTAQ and ResComp add to the update of the rows after row `i`.

    A row `w_i` with original weights `o_i` changes row `j` by
    `drift[i, j] w_i + residual[i, j] (o_i - w_i)`; both matrices are strictly upper triangular, or
    `None`. For rows beyond the block `w_i` is the rounded row, or with `keep_weights` the row
    before rounding, limited to the range of the grid.
    """

    drift: np.ndarray | None
    residual: np.ndarray | None
    keep_weights: bool


class Swept(NamedTuple):
    """Codes `(rows, outputs)`, and the loss that rounding each row has caused, `(rows,)`."""

    codes: np.ndarray
    losses: np.ndarray


def sweep(
    weight: np.ndarray,
    factor: np.ndarray,
    ranges: RowRanges,
    corrections: Corrections | None = None,
    block_size: int = BLOCK_SIZE,
) -> Swept:
    """Round the rows of `weight` in order, each followed by the update of the rows after it.

    With `e_i = (w_i - q_i) / U[i, i]` and `U` the factor, row `j > i` loses `U[i, j] e_i`. Blocks
    only gather updates; with no corrections their size does not change the numbers.
    """
    weight = np.array(weight, "float64", order="C")
    original = weight.copy() if corrections is not None else weight
    codes = np.empty(weight.shape, "uint8")
    losses = np.empty(len(weight))
    for begin, end in _blocks(len(weight), ranges.group_size, block_size):
        errors = np.empty((end - begin, weight.shape[1]))
        settled = np.empty_like(errors)
        for row in range(begin, end):
            found = ranges.at(row, weight[row:])
            values = weight[row].copy()
            code = found.codes(values)
            rounded = found.scale * (code - found.zero_point)
            codes[row] = code
            error = (values - rounded) / factor[row, row]
            errors[row - begin] = error
            losses[row] = 0.5 * np.vdot(error, error)
            after = slice(row + 1, end)
            weight[after] -= np.multiply.outer(factor[row, after], error)
            if corrections is not None:
                weight[after] += _correction(
                    corrections, row, after, values[None], original[row : row + 1]
                )
                low, high = -found.scale * found.zero_point, found.highest * found.scale
                limited = np.clip(values, low, low + high)
                settled[row - begin] = limited if corrections.keep_weights else rounded
        rest, block = slice(end, None), slice(begin, end)
        weight[rest] -= factor[block, rest].T @ errors
        if corrections is not None:
            weight[rest] += _correction(corrections, block, rest, settled, original[block])
    return Swept(codes, losses)


def _correction(corrections, rows, after, values, original):
    total = 0.0
    if corrections.drift is not None:
        total = np.atleast_2d(corrections.drift[rows, after]).T @ values
    if corrections.residual is not None:
        residual = np.atleast_2d(corrections.residual[rows, after])
        total = total + residual.T @ (original - values)
    return total


def _blocks(rows: int, group_size: int, block_size: int) -> Iterator[tuple[int, int]]:
    """Blocks of about `block_size` rows; a group never begins inside one that it does not end in.

    A group chooses its range from all of its rows, which must be up to date by then.
    """
    if group_size <= block_size:
        step = block_size - block_size % group_size
        yield from ((begin, min(begin + step, rows)) for begin in range(0, rows, step))
        return
    for group in range(0, rows, group_size):
        stop = min(group + group_size, rows)
        for begin in range(group, stop, block_size):
            yield begin, min(begin + block_size, stop)
