"""One model from several that were trained from different starts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from keras_reweight.matching._descent import permuted_weights
from keras_reweight.matching._sources import read_source
from keras_reweight.matching.align_many import aligned
from keras_reweight.signatures.architecture import Architecture
from keras_reweight.signatures.patch import Patch
from keras_reweight.signatures.weight_snapshot import WeightSnapshot


def merge_many(
    models: Sequence[keras.Model | WeightSnapshot],
    *,
    max_sweeps: int = 100,
    seed: int = 0,
    name: str = "merged",
) -> Patch:
    """The patch that makes of the first model the mean of all, after lining up their channels.

    For models trained from different starts, on the same data or on different parts, that are to
    become one model of the same size and cost. For models fine-tuned from one start, a plain soup
    does without the matching. The mean of lined-up activations has less variance than each, so
    networks with batch normalization need `reestimate_batch_norm` with the patch applied.

    Args:
        models: Two or more models of one architecture, the first a built Functional or Sequential
            `keras.Model`, the others models or `WeightSnapshot`s.
        max_sweeps: Integer >= 1, as in `align_many`. Defaults to `100`.
        seed: Integer >= 0, for the order of models and groups. Defaults to `0`.
        name: String, name of the patch. Defaults to `"merged"`.

    Returns:
        A `Patch` of kind `"merge"` on the first model, for all floating-point weights, moving
        statistics included.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If there are less than two models, they differ in their weights, or the first is
            a subclassed model or has no channels that can be permuted.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    def trained(seed):
        keras.utils.set_random_seed(seed)
        layers = [keras.Input((3,)), keras.layers.Dense(4, "relu", name="hidden")]
        return keras.Sequential([*layers, keras.layers.Dense(2)])

    models = [trained(seed) for seed in range(3)]
    with kr.matching.merge_many(models).patched(models[0]) as merged:
        scores = merged.predict(np.ones((1, 3)), verbose=0)
    ```

    Reference:
        Ainsworth et al., "Git Re-Basin: Merging Models modulo Permutation Symmetries", ICLR 2023,
        arXiv 2209.04836, section 3 (MergeMany), algorithm 3.

    Cost:
        As `align_many`, and two more copies of the weights.
    """
    matchings, symmetries, first = aligned(models, max_sweeps, seed, "merge_many")
    indices = [number for number, spec in enumerate(Architecture.of(first)) if spec.is_float]
    total: dict[int, Any] = dict.fromkeys(indices, 0.0)
    for model, matching in zip(models, matchings, strict=True):
        weights = read_source(model, indices)
        weights |= permuted_weights(symmetries.groups, matching.permutations, weights)
        total = {index: total[index] + weights[index] for index in indices}
    start = read_source(first, indices)
    deltas = [
        (first.weights[index], total[index] / len(models) - start[index]) for index in indices
    ]
    return Patch.from_deltas(first, deltas, name=name, kind="merge")
