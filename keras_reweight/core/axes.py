"""Axes to draw on, and what pictures have in common."""

from __future__ import annotations

from typing import Any

import numpy as np


def axes_or_new(ax: Any) -> Any:
    """The axes given, or those of a new figure that no window manager knows."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "Pictures need matplotlib: pip install keras-reweight-compress[plot]"
        ) from error
    if ax is None:
        return Figure(figsize=(6.4, 4.2), layout="constrained").subplots()
    if not hasattr(ax, "plot") or not hasattr(ax, "set_xlabel"):
        raise TypeError(f"`ax` must be matplotlib axes or None, got {ax!r:.60}.")
    return ax


def vector(name: str, value: Any, length: int | None = None) -> np.ndarray:
    """A float64 vector, of the length of another one if that is given."""
    try:
        array = np.asarray(value, "float64")
    except (TypeError, ValueError) as error:
        raise TypeError(f"`{name}` must be an array of numbers, got {value!r:.60}.") from error
    if array.ndim != 1 or (length is not None and len(array) != length):
        wanted = "(num_samples,)" if length is None else f"({length},)"
        raise ValueError(f"`{name}` must have shape {wanted}, got {array.shape}.")
    return array
