"""Weight aligning for class-incremental classifiers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import keras
import numpy as np

from keras_reweight.core.validation import check_boolean, check_built
from keras_reweight.editing._class_columns import class_ids, column_norms, head_kernel, ratio_of
from keras_reweight.signatures.live_weights import read_variable
from keras_reweight.signatures.patch import Patch


def align_weights(
    model: keras.Model,
    old: Iterable[int],
    *,
    new: Iterable[int] | None = None,
    layer: Any = None,
    only_shrink: bool = True,
    name: str = "weight_aligning",
) -> Patch:
    """Scale the classifier's columns of new classes to the mean norm of the old ones, as a patch.

    Use it after a step of class-incremental training, in which old classes were seen seldom (a few
    exemplars) and new ones often. Such a classifier gives the new classes longer columns and so
    larger logits. With `gamma = mean_old |w_c| / mean_new |w_c|`, the patch multiplies the columns
    of all new classes by `gamma`; what the classifier knows within the old and within the new
    classes stays as it is, and so do biases. It needs no data.

    Train the classifier without a bias, or the bias keeps favoring the new classes. As the authors
    do, keep its weights non-negative (`kernel_constraint="non_neg"`) behind a ReLU: then the norms
    say how large the logits are, and aligning does much more. Not for heads of cosines, such as
    `NormedDense`, whose columns have no length.

    Args:
        model: A built `keras.Model`.
        old: List or range of integers, the classes learned earlier.
        new: List or range of integers, the classes learned last. Defaults to `None`: all others.
        layer: Name, path or object of the classifier layer, whose last axis are the classes.
            Defaults to `None`: the last layer with weights.
        only_shrink: Boolean, whether to leave columns alone that would get longer. Defaults to
            `True`: with few epochs or an adaptive optimizer the new columns may be the shorter
            ones, and aligning them would hurt.
        name: String, name of the patch. Defaults to `"weight_aligning"`.

    Returns:
        A `Patch` of kind `"weight_aligning"` on the kernel; it changes nothing if there are no old
        or no new classes, the new columns are zero, or `only_shrink` forbids it.

    Raises:
        TypeError: If `model` is no model, `old` or `new` are no class ids, `only_shrink` no boolean
            or `name` no string.
        ValueError: If `model` is not built, a class is named twice or does not exist, or `layer`
            has no kernel or several.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(10, use_bias=False)])
    patch = kr.editing.align_weights(model, old=range(5), only_shrink=False)
    with patch.patched(model):
        assert abs(kr.editing.alignment_ratio(model, old=range(5)) - 1.0) < 1e-5
    kr.SignaturePatcher(model).apply(patch)  # to keep it
    ```

    Reference:
        Zhao et al., "Maintaining Discrimination and Fairness in Class Incremental Learning", CVPR
        2020, arXiv 1911.07053, equations 6 to 8.

    Deviations:
        No official code was found. One port divides the other way round, which lengthens the new
        columns; others align always, as `only_shrink=False` does.
    """
    check_built(model, "align_weights")
    check_boolean("only_shrink", only_shrink)
    kernel = head_kernel(model, layer)
    old_ids, new_ids = class_ids(old, new, int(kernel.shape[-1]))
    ratio = ratio_of(column_norms(kernel), old_ids, new_ids)
    factors = np.ones(kernel.shape[-1])
    if ratio < 1.0 or not only_shrink:
        factors[new_ids] = ratio
    delta = read_variable(kernel).astype(np.float64) * (factors - 1.0)
    return Patch.from_deltas(model, [(kernel, delta)], name=name, kind="weight_aligning")
