"""Token weights that keep the entropy of a policy steady."""

from __future__ import annotations

import math
from typing import Any

from keras import ops

from keras_reweight.core.validation import check_choice, check_number

_SMALLEST_PROB = 1e-8


def steer_weights(
    log_probs: Any,
    old_log_probs: Any,
    entropy: Any,
    advantage: Any,
    mask: Any = None,
    *,
    minimum: float = 0.8,
    maximum: float = 1.0,
    mode: str = "exponential",
    floor: float = 0.02,
):
    """Token weights that are small where a policy-gradient step changes the entropy most.

    Use it as a factor of the token losses of PPO or GRPO, against policies that collapse to a few
    answers. The change of entropy by a token of probability `p` is estimated as
    `c = |A / p_old| * |p (1 - p) (log p + H)|` with its advantage `A` and the entropy `H` of its
    distribution; `c` that is not finite counts as zero. Over all tokens that count:

    - `"exponential"`: `w = clip(exp(-k c), minimum, maximum)`, `k = -log(minimum) / max(c)`, where
      `max(c)` is at least `floor`, so that a batch of small changes keeps weights near 1;
    - `"linear"`: from `maximum` at the smallest `c` down to `minimum` at the largest; their middle
      if all are equal.

    Args:
        log_probs: Float tensor of shape `(batch, time)`, log-probabilities of the tokens.
        old_log_probs: Float tensor of shape `(batch, time)`, those of the policy that sampled them.
        entropy: Float tensor of shape `(batch, time)`, entropy of each token's distribution.
        advantage: Float tensor, broadcastable to `(batch, time)`.
        mask: Boolean tensor of shape `(batch, time)`, tokens that count, or `None` for all.
        minimum: Float in (0, 1), smallest weight. Defaults to `0.8`.
        maximum: Float > `minimum`, largest weight. Defaults to `1.0`.
        mode: `"exponential"` or `"linear"`. Defaults to `"exponential"`.
        floor: Float > 0, see above; not used by `"linear"`. Defaults to `0.02`.

    Returns:
        Float32 tensor of shape `(batch, time)` without gradient, zero where `mask` is false.

    Raises:
        TypeError: If `minimum`, `maximum` or `floor` is not a number.
        ValueError: If one of them is out of its range or `mode` is unknown.

    Example:

    ```python
    import numpy as np
    import keras_reweight as kr

    log_probs = np.log(np.array([[0.9, 0.5], [0.6, 0.98]], "float32"))
    entropy = np.array([[0.2, 1.0], [0.5, 0.1]], "float32")
    advantage = np.array([[1.0], [-0.5]], "float32")
    weights = kr.functional.steer_weights(log_probs, log_probs, entropy, advantage)
    ```

    Reference:
        Hao et al., "Rethinking Entropy Interventions in RLVR: An Entropy Change Perspective",
        arXiv 2510.10150, with the formula and the defaults of the authors' code (STEER).

    Deviations:
        The authors' default for the linear mode is a range of 0.8 to 1.2.
    """
    check_number("minimum", minimum, exclusive_minimum=0.0, exclusive_maximum=1.0)
    check_number("maximum", maximum, exclusive_minimum=float(minimum))
    check_number("floor", floor, exclusive_minimum=0.0)
    check_choice("mode", mode, ("exponential", "linear"))
    log_probs, old_log_probs, entropy, advantage = (
        ops.stop_gradient(ops.cast(ops.convert_to_tensor(value), "float32"))
        for value in (log_probs, old_log_probs, entropy, advantage)
    )
    largest = float(math.log1p(-_SMALLEST_PROB))
    log_probs = ops.clip(log_probs, math.log(_SMALLEST_PROB), largest)
    old = ops.maximum(ops.exp(old_log_probs), _SMALLEST_PROB)
    # `-expm1(log p)` is 1 - p without the rounding of p near one.
    slope = -ops.exp(log_probs) * ops.expm1(log_probs) * (log_probs + entropy)
    change = ops.abs(advantage / old) * ops.abs(slope)
    change = ops.where(ops.isfinite(change), change, ops.zeros_like(change))
    if mask is None:
        valid = ops.ones_like(change, dtype="bool")
    else:
        valid = ops.cast(ops.convert_to_tensor(mask), "bool")
        valid = ops.logical_and(valid, ops.ones_like(change, dtype="bool"))
    infinity = ops.full_like(change, float("inf"))
    high = ops.max(ops.where(valid, change, -infinity))
    if mode == "exponential":
        rate = -math.log(minimum) / ops.maximum(high, floor)
        weights = ops.clip(ops.exp(-rate * change), minimum, maximum)
    else:
        low = ops.min(ops.where(valid, change, infinity))
        span = high - low
        position = (change - low) / ops.where(span > 0, span, ops.ones_like(span))
        position = ops.where(span > 0, position, 0.5 * ops.ones_like(position))
        weights = maximum - position * (maximum - minimum)
    return ops.where(valid, weights, ops.zeros_like(weights))
