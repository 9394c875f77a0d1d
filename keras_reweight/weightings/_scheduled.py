"""Arguments of weightings that may follow a schedule."""

from __future__ import annotations

from typing import Any

from keras import ops

from keras_reweight.core.schedules import ScheduleLike, is_schedule, value_at


def scheduled_value(name: str, value: ScheduleLike, step: Any, like: Any):
    """The value of an argument at `step`, in the dtype of `like`; an error where `step` lacks."""
    if is_schedule(value) and step is None:
        raise ValueError(
            f"`{name}`={value!r} follows a schedule, which needs the training "
            "step: use this weighting in the `Reweight` callback, or call it with `step=`."
        )
    found = value_at(value, step)
    if ops.is_tensor(found):
        return ops.cast(found, like.dtype)
    # `cast` would round a number to float32 first.
    return ops.convert_to_tensor(float(found), dtype=like.dtype)
