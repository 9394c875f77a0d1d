"""The share of tokens with the highest scores."""

from __future__ import annotations

from typing import Any

from keras import ops

from keras_reweight.core.ranking import ceil_share, ranks
from keras_reweight.core.validation import check_number


def top_tokens(score: Any, mask: Any = None, fraction: Any = 0.2):
    """Mask of the tokens with the highest scores of a batch.

    Use it to train on the tokens that matter alone: with `score = |advantage| * entropy` in
    reinforcement learning of language models, with token losses in pretraining. A fraction that
    grows over training comes from `schedules.PolynomialDecay(0.2, 1.0, end_step=..., power=1.0)`,
    which is linear.

    Of the `n` tokens that count, the `ceil(fraction * n)` with the highest scores are kept; ties
    are broken by position. Scores that are not finite are never kept.

    Args:
        score: Float tensor of shape `(batch, time)` or `(n,)`.
        mask: Boolean tensor of the shape of `score`, tokens that count, or `None` for all.
        fraction: Float in (0, 1], or float tensor of shape `()`. Defaults to `0.2`.

    Returns:
        Boolean tensor of the shape of `score`.

    Raises:
        TypeError: If `fraction` is neither a number nor a tensor.
        ValueError: If `fraction` is a number outside (0, 1].

    Example:

    ```python
    import numpy as np
    import keras_reweight as kr

    score = np.array([[0.1, 2.0, 0.3], [0.5, 0.2, 9.0]], "float32")
    mask = np.array([[True, True, True], [True, True, False]])
    kept = kr.functional.top_tokens(score, mask, fraction=0.4)
    ```

    Reference:
        Wang et al., "Learning More with Less: A Dynamic Dual-Level Down-Sampling Framework for
        Efficient Policy Optimization" (D3S), ICLR 2026, arXiv 2509.22115 (token level).

    Deviations:
        The tokens of the batch compete with each other; the paper's schedule of the fraction is
        not published.

    Cost:
        Two sorts.
    """
    if not ops.is_tensor(fraction):
        check_number("fraction", fraction, exclusive_minimum=0.0, maximum=1.0)
    score = ops.stop_gradient(ops.cast(ops.convert_to_tensor(score), "float32"))
    valid = ops.isfinite(score)
    if mask is not None:
        valid = ops.logical_and(valid, ops.cast(ops.convert_to_tensor(mask), "bool"))
    count = ops.sum(ops.cast(valid, "float32"))
    kept = ops.minimum(ceil_share(ops.cast(fraction, "float32"), count), count)
    # Ascending, so that what does not count comes last.
    falling = ops.where(valid, -score, ops.full_like(score, float("inf")))
    rank = ops.reshape(ranks(ops.reshape(falling, (-1,))), ops.shape(score))
    return ops.logical_and(valid, ops.cast(rank, "float32") < kept)
