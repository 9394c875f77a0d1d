"""Weights of all samples, epoch by epoch."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_reweight.core.axes import axes_or_new


def weight_histogram(counts: Any, edges: Any, *, ax: Any = None) -> Any:
    """Draw how the weights of the samples spread over the epochs.

    One column an epoch, dark where many samples have that weight; the last bin holds all larger
    weights.

    Args:
        counts: Integer array of shape `(epochs, bins)`, numbers of samples, as
            `SampleScheduler.weight_histograms` gives them.
        edges: Float array of shape `(bins + 1,)`, rising; the last may be infinite.
        ax: Matplotlib axes, or `None` for a new figure. Defaults to `None`.

    Returns:
        The matplotlib axes.

    Raises:
        ImportError: If matplotlib is missing.
        TypeError: If `ax` is no axes.
        ValueError: If `counts` or `edges` has another shape or the edges do not rise.

    Example:

    ```python
    import numpy as np
    import keras_reweight as kr

    counts, edges = np.histogram2d(np.arange(100) % 5, np.linspace(0, 3, 100), bins=(5, 8))[::2]
    ax = kr.plotting.weight_histogram(counts, edges)
    ```

    Reference:
        None; a picture of what a scheduler does.
    """
    counts, edges = np.asarray(counts, "float64"), np.asarray(edges, "float64")
    if counts.ndim != 2 or not counts.size:
        raise ValueError(f"`counts` must have shape (epochs, bins), got {counts.shape}.")
    if edges.shape != (counts.shape[1] + 1,) or not (np.diff(edges) > 0).all():
        raise ValueError(
            f"`edges` must be {counts.shape[1] + 1} rising numbers, got shape {edges.shape}: "
            f"{edges!r:.60}."
        )
    ax = axes_or_new(ax)
    finite = edges.copy()
    if np.isinf(finite[-1]):
        finite[-1] = 2 * finite[-2] - finite[-3]
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1.0)
    epochs = np.arange(len(counts) + 1) + 0.5
    # The square root shows the few large weights beside the many around one.
    mesh = ax.pcolormesh(epochs, finite, np.sqrt(share.T), cmap="Blues")
    bar = ax.figure.colorbar(mesh, ax=ax, label="share of samples")
    ticks = np.array([0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0])
    ticks = ticks[ticks <= share.max()]
    bar.set_ticks(np.sqrt(ticks), labels=[f"{tick:.0%}" for tick in ticks])
    ax.set_xlabel("epoch")
    ax.set_ylabel("weight")
    return ax
