"""Curves between models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keras_reweight.core.axes import axes_or_new
from keras_reweight.core.mode_connectivity import ModeConnectivity


def plot_loss_barrier(
    curves: ModeConnectivity | Mapping[str, ModeConnectivity],
    *,
    label: str = "loss",
    ax: Any = None,
) -> Any:
    """Draw what lies between two models, and the line between the ends that a barrier rises above.

    Use it for curves of `kr.matching.interpolation_curve`, before and after a matching. A dashed
    line joins the ends of each curve; the legend gives the barrier, the largest height above it.

    Args:
        curves: A `ModeConnectivity`, or a dict from name to `ModeConnectivity`.
        label: String, name of the measure. Defaults to `"loss"`.
        ax: Matplotlib axes, or `None` for a new figure. Defaults to `None`.

    Returns:
        The matplotlib axes.

    Raises:
        ImportError: If matplotlib is missing.
        TypeError: If `curves` holds no `ModeConnectivity` or `ax` is no axes.
        ValueError: If `curves` is empty.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    layers = [keras.Input((3,)), keras.layers.Dense(4, "relu", name="hidden")]
    model = keras.Sequential([*layers, keras.layers.Dense(2)])
    x, y = np.random.default_rng(0).normal(size=(20, 3)), np.arange(20) % 2
    curve = kr.matching.interpolation_curve(model, model, (x, y), points=3)
    ax = kr.plotting.plot_loss_barrier({"with itself": curve}, label="error")
    ```

    Reference:
        None; the picture of Ainsworth et al., "Git Re-Basin: Merging Models modulo Permutation
        Symmetries", ICLR 2023, arXiv 2209.04836, figure 2.
    """
    named = curves if isinstance(curves, Mapping) else {"": curves}
    if not named:
        raise ValueError(f"`curves` must hold at least one curve, got {curves!r}.")
    for curve in named.values():
        if not isinstance(curve, ModeConnectivity):
            raise TypeError(
                f"`curves` must be a ModeConnectivity or a dict of these, got {curve!r:.60}."
            )
    ax = axes_or_new(ax)
    for name, curve in named.items():
        text = f"{name}, barrier {curve.barrier:.3g}" if name else f"barrier {curve.barrier:.3g}"
        (line,) = ax.plot(curve.positions, curve.values, marker=".", label=text)
        ends = [0, -1]
        ax.plot(
            curve.positions[ends],
            curve.values[ends],
            color=line.get_color(),
            linestyle="--",
            linewidth=1,
        )
    ax.set_xlabel("share of the second model")
    ax.set_ylabel(label)
    ax.legend()
    return ax
