"""The map of a data set: confidence against variability."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_reweight.core.axes import axes_or_new, vector
from keras_reweight.core.validation import check_integer
from keras_reweight.data.sample_table import SampleTable


def data_map(
    table: SampleTable,
    *,
    signal: str = "confidence",
    color: Any = None,
    max_points: int = 20_000,
    ax: Any = None,
) -> Any:
    """Draw every sample at the deviation and the mean of its confidence over the training.

    Use it to look through a data set after a first training: top left are the samples that are easy
    to learn, bottom left those that stay hard, often because they are mislabeled, and on the right
    the ambiguous ones.

    Args:
        table: `SampleTable` of a `SampleRecorder`, with the columns `<signal>_mean` and
            `<signal>_std`, float arrays of shape `(num_samples,)`.
        signal: String, the recorded signal. Defaults to `"confidence"`.
        color: Float array of shape `(num_samples,)` to color by (correctness, a noise mask),
            the name of a column, or `None`: `correct_mean`, if the table has it. Defaults to
            `None`.
        max_points: Integer >= 1; of more samples evenly spaced ones are drawn. Defaults to `20000`.
        ax: Matplotlib axes, or `None` for a new figure. Defaults to `None`.

    Returns:
        The matplotlib axes; `ax.figure.savefig(path)` writes the picture.

    Raises:
        ImportError: If matplotlib is missing.
        TypeError: If `table` is no `SampleTable`, `max_points` no integer or `ax` no axes.
        ValueError: If the table lacks a column, `color` has another shape or `max_points < 1`.

    Example:

    ```python
    import numpy as np
    import keras_reweight as kr

    rng = np.random.default_rng(0)
    columns = {"confidence_mean": rng.uniform(size=50), "confidence_std": rng.uniform(size=50) / 2}
    ax = kr.plotting.data_map(kr.data.SampleTable(50, columns))
    ```

    Reference:
        Swayamdipta et al., "Dataset Cartography: Mapping and Diagnosing Datasets with Training
        Dynamics", EMNLP 2020, arXiv 2009.10795, figure 1.
    """
    if not isinstance(table, SampleTable):
        raise TypeError(f"`table` must be a SampleTable, got {table!r:.60}.")
    check_integer("max_points", max_points, minimum=1)
    for suffix in ("mean", "std"):
        if f"{signal}_{suffix}" not in table:
            raise ValueError(
                f"`signal`={signal!r} needs the column {signal}_{suffix}; the table has "
                f"{table.columns}. `SampleRecorder` makes it."
            )
    if color is None and "correct_mean" in table:
        color = "correct_mean"
    label = color if isinstance(color, str) else None
    if isinstance(color, str):
        if color not in table:
            raise ValueError(f"`color`={color!r} is no column; the table has {table.columns}.")
        color = table[color]
    rows = np.unique(np.linspace(0, len(table) - 1, min(max_points, len(table))).astype("int64"))
    if color is not None:
        color = vector("color", color, len(table))[rows]
    ax = axes_or_new(ax)
    colors = {} if color is None else {"c": color, "cmap": "coolwarm_r"}
    points = ax.scatter(
        np.asarray(table[f"{signal}_std"])[rows],
        np.asarray(table[f"{signal}_mean"])[rows],
        s=6,
        alpha=0.6,
        linewidths=0,
        **colors,
    )
    if color is not None:
        ax.figure.colorbar(points, ax=ax, label=label)
    ax.set_xlabel(f"variability ({signal}, standard deviation)")
    ax.set_ylabel(f"{signal}, mean over epochs")
    return ax
