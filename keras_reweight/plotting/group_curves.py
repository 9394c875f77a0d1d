"""A measure of every group over the epochs, and that of the worst."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_reweight.core.axes import axes_or_new, vector
from keras_reweight.core.validation import check_boolean


def group_curves(
    values: Mapping[str, Sequence[float]],
    *,
    higher_is_better: bool = False,
    label: str = "loss",
    ax: Any = None,
) -> Any:
    """Draw one thin line a group, and a thick one for the worst group of each epoch.

    Use it to see whether a gain in the mean is paid for by a group.

    Args:
        values: Dict from the name of a group to its values, one an epoch, such as the entries
            `group_dro_loss_0`, `group_dro_loss_1`, ... of `History.history`.
        higher_is_better: Boolean, whether the worst group is the one with the lowest value.
            Defaults to `False`.
        label: String, name of the measure. Defaults to `"loss"`.
        ax: Matplotlib axes, or `None` for a new figure. Defaults to `None`.

    Returns:
        The matplotlib axes.

    Raises:
        ImportError: If matplotlib is missing.
        TypeError: If `values` is no dict, `higher_is_better` no boolean or `ax` no axes.
        ValueError: If `values` is empty or its entries differ in length.

    Example:

    ```python
    import keras_reweight as kr

    curves = {"majority": [0.9, 0.5, 0.3], "minority": [1.4, 1.2, 0.8]}
    ax = kr.plotting.group_curves(curves)
    ```

    Reference:
        None; the picture of group robustness, as in Sagawa et al., "Distributionally Robust Neural
        Networks for Group Shifts", ICLR 2020, arXiv 1911.08731, figure 2.
    """
    check_boolean("higher_is_better", higher_is_better)
    if not isinstance(values, Mapping):
        raise TypeError(f"`values` must be a dict from group to values, got {values!r:.60}.")
    if not values:
        raise ValueError(f"`values` must name at least one group, got {values!r}.")
    length = len(next(iter(values.values())))
    curves = {name: vector(f"values[{name!r}]", curve, length) for name, curve in values.items()}
    ax = axes_or_new(ax)
    epochs = np.arange(1, length + 1)
    for name, curve in curves.items():
        ax.plot(epochs, curve, linewidth=1, alpha=0.7, label=name)
    stacked = np.stack(list(curves.values()))
    worst = stacked.min(axis=0) if higher_is_better else stacked.max(axis=0)
    ax.plot(epochs, worst, color="black", linewidth=2.2, label="worst group")
    ax.set_xlabel("epoch")
    ax.set_ylabel(label)
    ax.legend()
    return ax
