"""Lining up more than two models."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np

from keras_reweight.core.channels.symmetries import Symmetries
from keras_reweight.core.validation import check_integer
from keras_reweight.matching._descent import Descent
from keras_reweight.matching._sources import check_source, read_source
from keras_reweight.matching.channel_matching import ChannelMatching
from keras_reweight.signatures.weight_snapshot import WeightSnapshot


def align_many(
    models: Sequence[keras.Model | WeightSnapshot], *, max_sweeps: int = 100, seed: int = 0
) -> list[ChannelMatching]:
    """For each of several models the order of its channels that lines it up with the first.

    Use it before averaging independent trainings: `permute` the models, then make a soup of them.
    `merge_many` does both. Matching all of them with the first alone would be at the mercy of the
    first. Here every model in turn is matched with the mean of all others, until no channel of any
    model wants to move; in the end all are turned so that the first model is as it was.

    Args:
        models: Two or more models of one architecture, the first a built Functional or Sequential
            `keras.Model`, the others models or `WeightSnapshot`s.
        max_sweeps: Integer >= 1, passes over the models, and in each match sweeps over the groups.
            Defaults to `100`.
        seed: Integer >= 0, for the order of models and groups. Defaults to `0`.

    Returns:
        List of `ChannelMatching`, one a model; the first one moves nothing. `similarity` is the sum
        of the products of the weights of each model with those of the first, before and after.

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
    first, second, third = kr.matching.align_many(models)
    assert first.num_moved == 0 and len(third.permutations["hidden"]) == 4
    ```

    Reference:
        Ainsworth et al., "Git Re-Basin: Merging Models modulo Permutation Symmetries", ICLR 2023,
        arXiv 2209.04836, section 3 (MergeMany), algorithm 3.

    Deviations:
        In the paper the result has an order of its own; here it has that of the first model, so
        that the first can be patched into it.

    Cost:
        Host memory of all models in float64; a pass costs as much as one `match_weights` a model.
    """
    found, _, _ = aligned(models, max_sweeps, seed, "align_many")
    return found


def aligned(
    models: Sequence[keras.Model | WeightSnapshot], max_sweeps: int, seed: int, caller: str
) -> tuple[list[ChannelMatching], Symmetries, keras.Model]:
    """The matchings, the symmetries they are permutations of, and the first model."""
    check_integer("max_sweeps", max_sweeps, minimum=1)
    check_integer("seed", seed, minimum=0)
    if not isinstance(models, Sequence) or isinstance(models, str):
        raise TypeError(f"`models` must be a list of models, got {models!r:.60}.")
    if len(models) < 2:
        raise ValueError(f"`models` must hold two models or more, got {models!r:.60}.")
    first = models[0]
    if not isinstance(first, keras.Model):
        raise TypeError(f"`models`[0] must be a keras.Model, got {first!r:.60}.")
    symmetries = Symmetries(first, caller, "models[0]")
    for number, model in enumerate(models):
        check_source(first, model, caller, f"models[{number}]")
    groups = list(symmetries.groups.values())
    descents = [Descent(groups, read_source(model, symmetries.indices)) for model in models]
    before = [each.similarity(descents[0].current) for each in descents]
    rng = np.random.default_rng(seed)
    for _ in range(max_sweeps):
        order = rng.permutation(len(models))
        moved = [_pass(descents, number, rng, max_sweeps) for number in order]
        converged = not any(moved)
        if converged:
            break
    after = [each.similarity(descents[0].current) for each in descents]
    matchings = []
    for each, *similarity in zip(descents, before, after, strict=True):
        permutations = {}
        for group, own, start in zip(
            groups, each.permutations, descents[0].permutations, strict=True
        ):
            order = np.empty_like(own)
            order[start] = own
            permutations[group.name] = order
        matchings.append(
            ChannelMatching(permutations, tuple(similarity), symmetries.stays, converged)
        )
    return matchings, symmetries, first


def _pass(descents: list[Descent], number: int, rng: np.random.Generator, max_sweeps: int) -> bool:
    """Match one model with the mean of the others; whether a channel moved."""
    others = [each.current for index, each in enumerate(descents) if index != number]
    mean = {index: np.mean([each[index] for each in others], axis=0) for index in others[0]}
    history, _ = descents[number].run(mean, rng, max_sweeps)
    return len(history) > 2
