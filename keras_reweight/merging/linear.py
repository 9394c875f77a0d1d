"""The weighted mean of several models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_reweight.core.validation import check_boolean
from keras_reweight.merging._merge import Weight, merge
from keras_reweight.merging._sources import check_weights
from keras_reweight.signatures.patch import Patch


def linear(
    model: keras.Model,
    models: Sequence[Any],
    *,
    weights: Sequence[float] | None = None,
    normalize: bool = True,
    layers: Any = None,
    name: str = "linear",
) -> Patch:
    """Average models with weights of your own.

    The merged weights are `sum(w_i * theta_i) / sum(w_i)`, or the sum alone with
    `normalize=False`, in which case weights that do not add up to one change the scale of every
    layer. The models should come from one start. Moving statistics of batch normalization are
    averaged with the normalized weights, or left alone if a weight is negative.

    Args:
        model: A built `keras.Model`, what the merge is to be put on; it counts only if it is in
            `models`. It is left as it is.
        models: List of models, `WeightSnapshot`s, or names of `.weights.h5`, `.keras` or
            safetensors files.
        weights: List of numbers, one a model; `None` weighs all alike. Defaults to `None`.
        normalize: Boolean, whether to divide by the sum of the weights. Defaults to `True`.
        layers: Layers to merge, by name, `re.Pattern`, predicate or object; `None` for all.
            Defaults to `None`.
        name: String, name of the patch. Defaults to `"linear"`.

    Returns:
        A `Patch` from the weights of `model` to the weighted mean.

    Raises:
        TypeError: If `model` is not a model, `models` holds something else, or `weights` no
            numbers.
        ValueError: If `model` is not built, `models` is empty or of another architecture,
            `weights` does not fit or adds up to zero, `normalize` is not a boolean, or the
            selection is empty.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    start = kr.WeightSnapshot(model)
    model.layers[0].kernel.assign_add(np.ones((2, 1)) / 8)
    patch = kr.merging.linear(model, [start, model], weights=[3.0, 1.0])
    np.testing.assert_allclose(patch.delta(0), -0.75 / 8, rtol=1e-5)
    ```

    Reference:
        Wortsman et al., "Model soups", ICML 2022, arXiv 2203.05482; method `linear` of
        arcee-ai/mergekit.

    Deviations:
        mergekit gives infinite weights where the weights add up to zero; here they are refused.
    """
    check_boolean("normalize", normalize)
    found = check_weights(weights, models)
    total = float(np.sum(found))
    if found and total == 0.0:
        raise ValueError(f"`weights` must not add up to zero, got {weights!r}.")

    def mean(weight: Weight) -> np.ndarray:
        merged = np.zeros_like(weight.base)
        for factor, value in zip(found, weight.values(), strict=True):
            merged += factor * value
        return merged / (total if normalize or weight.is_statistic else 1.0) - weight.base

    return merge(
        model,
        models,
        mean,
        argument="models",
        name=name,
        kind="linear",
        layers=layers,
        statistics=min(found, default=0.0) >= 0.0,
        from_base=False,
    )
