"""Task vectors without their largest and smallest changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from keras_reweight.core.validation import check_boolean, check_number
from keras_reweight.merging._merge import Weight, merge
from keras_reweight.merging._sources import check_weights
from keras_reweight.merging._task_vectors import combine, keep_middle
from keras_reweight.signatures.patch import Patch


def breadcrumbs(
    model: keras.Model,
    tuned: Sequence[Any],
    *,
    density: float,
    gamma: float = 0.01,
    weights: Sequence[float] | None = None,
    elect_signs: bool = False,
    layers: Any = None,
    name: str = "breadcrumbs",
) -> Patch:
    """Leave the largest and the smallest changes out of every task vector, and add the rest.

    The smallest changes are noise, the few largest are outliers that harm the other tasks. In each
    tensor the `gamma` largest magnitudes go, then as many of the smallest as leave a share of
    `density`. `elect_signs=True` leaves out changes against the majority as well, as `ties` does
    (`breadcrumbs_ties` of mergekit). Moving statistics of batch normalization are left alone. Not
    for one task alone: its largest changes are what it needs.

    Args:
        model: A built `keras.Model`, the pretrained one. It is left as it is.
        tuned: List of models, `WeightSnapshot`s, or names of `.weights.h5`, `.keras` or
            safetensors files, fine-tuned from `model`.
        density: Float in `(0, 1]`, share of the changes to keep; `1.0` keeps all.
        gamma: Float in `[0, 1)`, share of the largest changes to leave out. Defaults to `0.01`.
        weights: List of numbers, one a model; `None` for ones. Defaults to `None`.
        elect_signs: Boolean, whether only changes with the sign of the weighted sum count.
            Defaults to `False`.
        layers: Layers to merge, by name, `re.Pattern`, predicate or object; `None` for all.
            Defaults to `None`.
        name: String, name of the patch. Defaults to `"breadcrumbs"`.

    Returns:
        A `Patch` on `model`.

    Raises:
        TypeError: If `model` is not a model, `tuned` holds something else, or a number is none.
        ValueError: If `model` is not built, `tuned` is empty or of another architecture, `density`
            or `gamma` is out of its range, `weights` does not fit, `elect_signs` is not a boolean,
            or the selection is empty.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, use_bias=False)])
    kernel = model.layers[0].kernel
    kernel.assign(np.full((4, 1), 8.0))
    start = kr.WeightSnapshot(model)
    kernel.assign_add([[3.0], [0.1], [-1.0], [0.5]])
    tuned = kr.WeightSnapshot(model)
    start.restore(model)
    patch = kr.merging.breadcrumbs(model, [tuned], density=0.5, gamma=0.25)
    np.testing.assert_allclose(patch.delta(0), [[0.0], [0.0], [-1.0], [0.5]], atol=1e-6)
    ```

    Reference:
        Davari and Belilovsky, "Model Breadcrumbs: Scaling Multi-Task Model Merging with Sparse
        Masks", ECCV 2024, arXiv 2312.06795; methods `breadcrumbs` and `breadcrumbs_ties` of
        arcee-ai/mergekit.

    Deviations:
        As in mergekit, `density` is the share that stays, and fewer of the largest go where both
        do not fit. Where `gamma` of a small tensor is less than one number, none of its largest
        goes; mergekit loses the whole change there. `density` has no default (that of mergekit, 1,
        keeps everything).
    """
    check_number("density", density, exclusive_minimum=0.0, maximum=1.0)
    check_number("gamma", gamma, minimum=0.0, exclusive_maximum=1.0)
    check_boolean("elect_signs", elect_signs)
    found = check_weights(weights, tuned)

    def mask(weight: Weight):
        kept = [keep_middle(delta, density, gamma) for delta in weight.offsets()]
        return combine(kept, found, elect_signs=elect_signs)

    return merge(
        model,
        tuned,
        mask,
        argument="tuned",
        name=name,
        kind="breadcrumbs",
        layers=layers,
        statistics=False,
    )
