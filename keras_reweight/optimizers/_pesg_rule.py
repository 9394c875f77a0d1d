"""One step of proximal epoch stochastic gradient, for weights and for auxiliary scalars alike."""

from __future__ import annotations

from typing import Any

from keras import ops


def pesg_direction(
    gradient: Any,
    value: Any,
    reference: Any,
    buffer: Any,
    is_first: Any,
    *,
    momentum: Any,
    clip_value: Any,
    l2: Any,
    epoch_decay: Any,
):
    """The new momentum buffer, which is what the learning rate multiplies.

    `reference` is the value that the proximal term pulls to, or `None` for no such term.
    """
    direction = ops.minimum(ops.maximum(gradient, -clip_value), clip_value) + l2 * value
    if reference is not None:
        direction = direction + epoch_decay * (value - reference)
    return ops.where(is_first, direction, (1.0 - momentum) * buffer + momentum * direction)
