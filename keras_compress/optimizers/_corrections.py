"""What a rounding error adds to the momentum, so that the next step makes up for it.

A step moved the weight to `w`, which was put on the grid as `q(w)`; `error` is `w - q(w)`. With
`carried` the error of the step before, and a constant learning rate, the weights are those of a
training with float master weights whose quantized copy gives the gradients. Without memory for
`carried`, the new error stands in for it.
"""

from __future__ import annotations

from typing import Any


def momentum_correction(error: Any, carried: Any, momentum: float):
    """For a velocity `v = momentum v - rate g` that is added to the weight."""
    return error / momentum - carried


def moment_correction(error: Any, carried: Any, beta_1: float, per_move: Any):
    """For a moment `m = beta_1 m + (1 - beta_1) g` of which `m / per_move` is subtracted."""
    return (carried - error / beta_1) * per_move
