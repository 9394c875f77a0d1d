"""Bits in closed form: everything loses the same."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_reweight.core.validation import check_number


def equal_loss_rates(losses: Any, mean_bits: float, *, sizes: Any = None) -> np.ndarray:
    """Bits of each part for the least total loss at a given mean (the closed form of BAQ).

    If a part with `n_i` weights loses `L_i(R) = c_i 4**(-R)` at `R` bits, the total is least where
    the loss for each weight is the same in all parts:

        R_i = mean_bits + (log2(c_i / n_i) - mean of log2(c_j / n_j), weighted by n_j) / 2

    for parts of one size `mean_bits + log2(c_i / geometric mean of c) / 2`. Use it for layers, or
    for the columns of a kernel. The rates are no integers and may be negative where there is next
    to nothing to lose; `allocate_bits(..., method="closed_form")` makes whole bits of them.

    Args:
        losses: Float array of shape `(parts,)`, positive: what each part loses, all measured at the
            same bits (which ones does not matter).
        mean_bits: Float, mean over the weights.
        sizes: Float or integer array of shape `(parts,)`, number of weights of each part, or `None`
            for parts of one size. Defaults to `None`.

    Returns:
        Float64 array of shape `(parts,)`.

    Raises:
        TypeError: If an argument is no number or array of numbers.
        ValueError: If shapes do not fit, a loss or size is not positive and finite, or `mean_bits`
            is not finite.

    Example:

    ```python
    import numpy as np
    import keras_compress as kc

    losses = np.array([1.0, 4.0, 16.0])
    rates = kc.bits.equal_loss_rates(losses, mean_bits=4.0)
    assert rates.tolist() == [3.0, 4.0, 5.0]
    assert np.ptp(losses * 4.0**-rates) == 0.0
    ```

    Reference:
        Zhang et al., "BAQ: Efficient Bit Allocation Quantization for Large Language Models",
        arXiv 2506.05664, the rates of equal loss.

    Deviations:
        The paper allocates to columns of one size; sizes are our generalization. Its code takes
        1.95 in place of 2 as the exponent and rounds to whole numbers of levels.
    """
    check_number("mean_bits", mean_bits)
    losses = _positive("losses", losses)
    sizes = np.ones_like(losses) if sizes is None else _positive("sizes", sizes)
    if sizes.shape != losses.shape:
        raise ValueError(f"`sizes` must have shape {losses.shape}, got {sizes.tolist()}.")
    logs = np.log2(losses) - np.log2(sizes)
    return mean_bits + 0.5 * (logs - np.average(logs, weights=sizes))


def _positive(name, values):
    try:
        array = np.asarray(values, "float64")
    except (TypeError, ValueError) as error:
        raise TypeError(f"`{name}` must be an array of numbers, got {values!r:.60}.") from error
    if array.ndim != 1 or not array.size:
        raise ValueError(f"`{name}` must have shape (parts,), got {array.shape}.")
    if not (np.isfinite(array) & (array > 0.0)).all():
        raise ValueError(f"`{name}` must be positive and finite, got {values!r:.200}.")
    return array
