"""Which optimizers can carry a rounding error."""

from __future__ import annotations

import keras


def check_inner_optimizer(optimizer):
    kinds = (keras.optimizers.Adam, keras.optimizers.SGD)
    if not isinstance(optimizer, keras.optimizers.Optimizer):
        raise TypeError(
            "`inner_optimizer` must be a keras optimizer (Adam, AdamW or SGD with momentum), got "
            f"{optimizer!r} of type {type(optimizer).__name__}."
        )
    if not isinstance(optimizer, kinds):
        reason = "must be Adam, AdamW or SGD with momentum, whose steps are known"
    elif isinstance(optimizer, keras.optimizers.SGD) and not optimizer.momentum:
        reason = "needs a momentum above zero, where the error is carried"
    elif isinstance(optimizer, keras.optimizers.SGD) and optimizer.nesterov:
        reason = "must not use Nesterov's momentum, for which no correction is defined"
    elif isinstance(optimizer, keras.optimizers.Adam) and not optimizer.beta_1:
        reason = "needs a `beta_1` above zero, where the error is carried"
    elif optimizer.use_ema:
        reason = "must not keep moving averages (`use_ema`), which are off the grid"
    elif optimizer.loss_scale_factor is not None:
        reason = "must not scale the loss; put a LossScaleOptimizer around this one"
    else:
        return
    raise ValueError(f"`inner_optimizer` {reason}, got {optimizer!r}.")
