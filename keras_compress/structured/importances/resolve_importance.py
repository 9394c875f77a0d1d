"""From the name of an importance to the importance."""

from __future__ import annotations

from typing import Any

from keras_compress.structured.importances.channel_importance import ChannelImportance
from keras_compress.structured.importances.group_geometric_median import GroupGeometricMedian
from keras_compress.structured.importances.group_hessian import GroupHessian
from keras_compress.structured.importances.group_lamp import GroupLAMP
from keras_compress.structured.importances.group_magnitude import GroupMagnitude
from keras_compress.structured.importances.group_taylor import GroupTaylor
from keras_compress.structured.importances.random_importance import RandomImportance

_WITHOUT_DATA = {
    "geometric_median": GroupGeometricMedian,
    "lamp": GroupLAMP,
    "magnitude": GroupMagnitude,
    "random": RandomImportance,
}
_WITH_DATA = {"hessian": GroupHessian, "taylor": GroupTaylor}


def resolve_importance(importance: Any, data: Any = None) -> ChannelImportance:
    """A `ChannelImportance` from a name or an object; some names need `data`."""
    if isinstance(importance, ChannelImportance):
        return importance
    if not isinstance(importance, str):
        raise TypeError(
            f"`importance` must be a ChannelImportance or one of {_names()}, got {importance!r} of "
            f"type {type(importance).__name__}."
        )
    if importance in _WITHOUT_DATA:
        return _WITHOUT_DATA[importance]()
    if importance not in _WITH_DATA:
        raise ValueError(f"`importance` must be one of {_names()}, got {importance!r}.")
    if data is None:
        raise ValueError(f"`importance`={importance!r} needs `data`, labelled samples (x, y).")
    return _WITH_DATA[importance](data)


def needs_data(importance: Any) -> bool:
    """Whether a name stands for an importance that is made from data."""
    return isinstance(importance, str) and importance in _WITH_DATA


def _names():
    return sorted([*_WITHOUT_DATA, *_WITH_DATA])
