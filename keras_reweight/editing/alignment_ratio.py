"""How much longer the weights of new classes are than those of old ones."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import keras

from keras_reweight.core.validation import check_built
from keras_reweight.editing._class_columns import class_ids, column_norms, head_kernel, ratio_of


def alignment_ratio(
    model: keras.Model,
    old: Iterable[int],
    *,
    new: Iterable[int] | None = None,
    layer: Any = None,
) -> float:
    """Mean norm of the classifier's columns of old classes, divided by that of new ones.

    Below one, the classifier favors the classes it learned last: `align_weights` would shorten
    their columns by this factor. Look at it before and after each step of class-incremental
    training.

    Args:
        model: A built `keras.Model`.
        old: List or range of integers, the classes learned earlier.
        new: List or range of integers, the classes learned last. Defaults to `None`: all others.
        layer: Name, path or object of the classifier layer, whose last axis are the classes.
            Defaults to `None`: the last layer with weights.

    Returns:
        Float; 1.0 if there are no old or no new classes, or the new columns are zero.

    Raises:
        TypeError: If `model` is no model, or `old` or `new` are no class ids.
        ValueError: If `model` is not built, a class is named twice or does not exist, or `layer`
            has no kernel or several.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    model.layers[0].kernel.assign([[3.0, 0.0, 8.0], [0.0, 5.0, 0.0]])
    assert kr.editing.alignment_ratio(model, old=range(2)) == 0.5
    ```

    Reference:
        Zhao et al., "Maintaining Discrimination and Fairness in Class Incremental Learning", CVPR
        2020, arXiv 1911.07053, equation 7 (gamma).
    """
    check_built(model, "alignment_ratio")
    kernel = head_kernel(model, layer)
    old_ids, new_ids = class_ids(old, new, int(kernel.shape[-1]))
    return ratio_of(column_norms(kernel), old_ids, new_ids)
