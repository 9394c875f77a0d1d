"""Ranks and counts for rules that keep or drop a share of a batch, inside a compiled step."""

from __future__ import annotations

from typing import Any

from keras import ops

# A few units in the last place of float32: 0.29 of 100 samples are 29 of them, not 28.
_SLACK = 5e-7


def ranks(values: Any):
    """Ascending ranks along the last axis, int32; ties in the order of their positions."""
    return ops.cast(ops.argsort(ops.argsort(values, axis=-1), axis=-1), "int32")


def floor_share(share: Any, count: Any):
    """The largest whole number of `count` things that is at most `share` of them."""
    return ops.floor(share * count * (1.0 + _SLACK))


def ceil_share(share: Any, count: Any):
    """The smallest whole number of `count` things that is at least `share` of them."""
    return ops.ceil(share * count * (1.0 - _SLACK))
