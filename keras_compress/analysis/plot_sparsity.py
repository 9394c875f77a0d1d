"""The sparsity of every layer in a picture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keras_reweight.core.axes import axes_or_new, vector


def plot_sparsity(report: Any, *, ax: Any = None) -> Any:
    """Draw the share of zeros of each layer as a bar, in the order of the model.

    Use it to see how an allocation spreads a sparsity over the layers.

    Args:
        report: A `CompressionReport` or `SparsityReport`, or a dict from names to shares.
        ax: Matplotlib axes, or `None` for a new figure. Defaults to `None`.

    Returns:
        The matplotlib axes; `ax.figure.savefig(path)` writes the picture.

    Raises:
        ImportError: If matplotlib is missing.
        TypeError: If `report` is nothing of these or `ax` no axes.
        ValueError: If there is no layer to draw, or a share is outside `[0, 1]`.

    Example:

    ```python
    import keras_compress as kc

    ax = kc.analysis.plot_sparsity({"first": 0.5, "second": 0.9})
    assert len(ax.patches) == 2
    ```

    Reference:
        None; a picture.
    """
    shares = _shares(report)
    values = vector("report", list(shares.values()))
    if not len(values):
        raise ValueError(f"`report` has no layer with kernels: {report!r:.60}.")
    if not ((values >= 0.0) & (values <= 1.0)).all():
        raise ValueError(f"`report` must hold shares between 0 and 1, got {shares}.")
    ax = axes_or_new(ax)
    places = range(len(values))
    bars = ax.bar(places, values)
    ax.bar_label(bars, [f"{value:.0%}" for value in values], fontsize="small")
    ax.set_xticks(places, list(shares), rotation=45, ha="right", fontsize="small")
    ax.set_ylim(0.0, 1.1)
    ax.set_ylabel("share of zeros")
    return ax


def _shares(report):
    if isinstance(report, Mapping):
        return dict(report)
    if hasattr(report, "variables"):
        return {row.path: row.sparsity for row in report.variables if row.prunable}
    if hasattr(report, "layers"):
        return {row.path: row.sparsity for row in report.layers if row.macs or row.sparsity}
    raise TypeError(f"`report` must be a report or a dict of shares, got {report!r:.60}.")
