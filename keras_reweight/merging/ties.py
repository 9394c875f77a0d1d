"""Task vectors that agree on signs before they are averaged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from keras_reweight.core.validation import check_number
from keras_reweight.merging._merge import Weight, merge
from keras_reweight.merging._sources import check_weights
from keras_reweight.merging._task_vectors import combine, keep_largest
from keras_reweight.signatures.patch import Patch


def ties(
    model: keras.Model,
    tuned: Sequence[Any],
    *,
    density: float = 1.0,
    weights: Sequence[float] | None = None,
    layers: Any = None,
    name: str = "ties",
) -> Patch:
    """Merge task vectors without those changes that contradict the majority.

    Of every task vector, the `density` largest changes of each tensor are kept (trim); each number
    gets the sign of the weighted sum over the models (elect), and becomes the weighted mean of the
    changes with that sign (merge). For several tasks that share a start and interfere; the paper
    keeps a fifth, `density=0.2`, with a strength of the patch around 1. Moving statistics of batch
    normalization are left alone: estimate them anew with `kr.signatures.reestimate_batch_norm`.

    Args:
        model: A built `keras.Model`, the pretrained one. It is left as it is.
        tuned: List of models, `WeightSnapshot`s, or names of `.weights.h5`, `.keras` or
            safetensors files, fine-tuned from `model`.
        density: Float in `(0, 1]`, share of the changes to keep. Defaults to `1.0`.
        weights: List of numbers, one a model; `None` for ones. Defaults to `None`.
        layers: Layers to merge, by name, `re.Pattern`, predicate or object; `None` for all.
            Defaults to `None`.
        name: String, name of the patch. Defaults to `"ties"`.

    Returns:
        A `Patch` on `model`.

    Raises:
        TypeError: If `model` is not a model, `tuned` holds something else, or a number is none.
        ValueError: If `model` is not built, `tuned` is empty or of another architecture, `density`
            is outside of `(0, 1]`, `weights` does not fit, or the selection is empty.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, use_bias=False)])
    kernel = model.layers[0].kernel
    kernel.assign([[8.0], [8.0], [8.0]])
    start, tuned = kr.WeightSnapshot(model), []
    for change in ([[3.0], [1.0], [0.1]], [[-1.0], [2.0], [0.0]]):
        start.restore(model)
        kernel.assign_add(change)
        tuned.append(kr.WeightSnapshot(model))
    start.restore(model)
    patch = kr.merging.ties(model, tuned, density=0.67)
    np.testing.assert_allclose(patch.delta(0), [[3.0], [1.5], [0.0]], rtol=1e-5)
    ```

    Reference:
        Yadav et al., "TIES-Merging: Resolving Interference When Merging Models", NeurIPS 2023,
        arXiv 2306.01708, algorithm 1; method `ties` of arcee-ai/mergekit.

    Deviations:
        The paper trims over all weights at once, mergekit and we tensor by tensor; we keep at least
        one change of each, where mergekit stops with an error.
    """
    check_number("density", density, exclusive_minimum=0.0, maximum=1.0)
    found = check_weights(weights, tuned)

    def elect(weight: Weight):
        trimmed = [keep_largest(delta, density) for delta in weight.offsets()]
        return combine(trimmed, found, elect_signs=True, average=True)

    return merge(
        model,
        tuned,
        elect,
        argument="tuned",
        name=name,
        kind="ties",
        layers=layers,
        statistics=False,
    )
