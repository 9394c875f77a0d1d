"""Task vectors of which most changes are dropped at random."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_reweight.core.validation import (
    check_boolean,
    check_choice,
    check_integer,
    check_number,
)
from keras_reweight.merging._merge import Weight, merge
from keras_reweight.merging._sources import check_weights
from keras_reweight.merging._task_vectors import combine, drop
from keras_reweight.signatures.patch import Patch


def dare(
    model: keras.Model,
    tuned: Sequence[Any],
    *,
    density: float,
    weights: Sequence[float] | None = None,
    elect_signs: bool = False,
    rescale: str | None = "l1",
    seed: int = 0,
    layers: Any = None,
    name: str = "dare",
) -> Patch:
    """Drop most changes of every task vector at random, scale up the rest, and add them.

    Long fine-tuning of large models makes many small changes of which a tenth is enough; the fewer
    are left of each model, the less they get in each other's way. Each change is kept with
    probability `density`. `elect_signs=True` leaves out those against the majority, as `ties` does
    (`dare_ties` of mergekit). Moving statistics of batch normalization are left alone. Not for
    large changes of small models: what is left is a noisy estimate.

    Args:
        model: A built `keras.Model`, the pretrained one. It is left as it is.
        tuned: List of models, `WeightSnapshot`s, or names of `.weights.h5`, `.keras` or
            safetensors files, fine-tuned from `model`.
        density: Float in `(0, 1]`, probability of a change to be kept.
        weights: List of numbers, one a model; `None` for ones. Defaults to `None`.
        elect_signs: Boolean, whether only changes with the sign of the weighted sum count.
            Defaults to `False`.
        rescale: `"l1"` keeps the sum of magnitudes in each weight, `"density"` divides by
            `density` as the paper does, `None` leaves what is kept as it is. Defaults to `"l1"`.
        seed: Integer >= 0. Defaults to `0`.
        layers: Layers to merge, by name, `re.Pattern`, predicate or object; `None` for all.
            Defaults to `None`.
        name: String, name of the patch. Defaults to `"dare"`.

    Returns:
        A `Patch` on `model`; the same seed gives the same patch on every backend.

    Raises:
        TypeError: If `model` is not a model, `tuned` holds something else, or a number is none.
        ValueError: If `model` is not built, `tuned` is empty or of another architecture, `density`
            is outside of `(0, 1]`, `weights` does not fit, another argument is out of its range, or
            the selection is empty.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(8)])
    start = kr.WeightSnapshot(model)
    model.layers[0].kernel.assign_add(np.ones((64, 8)) / 64)
    tuned = kr.WeightSnapshot(model)
    start.restore(model)
    patch = kr.merging.dare(model, [tuned], density=0.25)
    assert 0.1 < np.mean(patch.delta(0) != 0.0) < 0.4
    np.testing.assert_allclose(patch.delta(0).sum(), 8.0, rtol=1e-4)
    ```

    Reference:
        Yu et al., "Language Models are Super Mario: Absorbing Abilities from Homologous Models as a
        Free Lunch", ICML 2024, arXiv 2311.03099; methods `dare_linear` and `dare_ties` of
        arcee-ai/mergekit.

    Deviations:
        `density` has no default (that of mergekit, 1, drops nothing). The random numbers are
        NumPy's, one stream for each model and tensor.
    """
    check_number("density", density, exclusive_minimum=0.0, maximum=1.0)
    check_boolean("elect_signs", elect_signs)
    check_choice("rescale", rescale, ("l1", "density", None))
    check_integer("seed", seed, minimum=0)
    found = check_weights(weights, tuned)

    def thin(weight: Weight):
        kept = [
            drop(delta, density, rescale, np.random.default_rng([seed, place, weight.index]))
            for place, delta in enumerate(weight.offsets())
        ]
        return combine(kept, found, elect_signs=elect_signs)

    return merge(
        model,
        tuned,
        thin,
        argument="tuned",
        name=name,
        kind="dare",
        layers=layers,
        statistics=False,
    )
