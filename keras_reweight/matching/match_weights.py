"""Matching channels by the weights alone."""

from __future__ import annotations

import keras
import numpy as np

from keras_reweight.core.channels.symmetries import Symmetries
from keras_reweight.core.validation import check_integer
from keras_reweight.matching._descent import Descent
from keras_reweight.matching._sources import check_source, read_source
from keras_reweight.matching.channel_matching import ChannelMatching
from keras_reweight.signatures.weight_snapshot import WeightSnapshot


def match_weights(
    model1: keras.Model,
    model2: keras.Model | WeightSnapshot,
    *,
    max_sweeps: int = 100,
    seed: int = 0,
) -> ChannelMatching:
    """The order of the hidden channels of `model2` that brings its weights nearest to `model1`.

    The hidden channels of a network have no order of their own: two trainings find them in two
    orders, and the mean of their weights is a mean of strangers. Line the second model up with
    `permute` before you average, compare or interpolate two independent trainings; wide networks
    then often have no barrier between them. No data are needed. Not for models fine-tuned from
    one start, which are lined up already, and of little help for narrow networks, or ones trained
    for a few steps only.

    With a permutation `P_g` for every group of channels that can only move together (a residual
    stream is one group) it looks for the largest `sum_w <w1, P(w2)>` over all weights `w`, the
    permutations applied to every axis that holds channels of a group. Group by group, in random
    order, the best permutation for fixed others solves a linear assignment problem; sweeps go on
    until none improves.

    Args:
        model1: A built Functional or Sequential `keras.Model`.
        model2: A `keras.Model` of the same architecture, or a `WeightSnapshot` of one.
        max_sweeps: Integer >= 1. Defaults to `100`.
        seed: Integer >= 0, for the order in which groups are visited. Defaults to `0`.

    Returns:
        A `ChannelMatching`; its `stays` says which layers kept their order and why.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If a model is not built, `model1` is a subclassed model or has no channels that
            can be permuted, or `model2` has other weights.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    layers = [keras.Input((3,)), keras.layers.Dense(4, "relu", name="hidden")]
    model1 = keras.Sequential([*layers, keras.layers.Dense(2)])
    model2 = keras.models.clone_model(model1)
    kernel, bias, head, offset = model1.get_weights()
    order = np.array([2, 0, 3, 1])
    model2.set_weights([kernel[:, order], bias[order], head[order], offset])
    matching = kr.matching.match_weights(model1, model2)
    np.testing.assert_array_equal(order[matching.permutations["hidden"]], np.arange(4))
    ```

    Reference:
        Ainsworth et al., "Git Re-Basin: Merging Models modulo Permutation Symmetries", ICLR 2023,
        arXiv 2209.04836, section 3.2 and algorithm 1; github.com/samuela/git-re-basin. Ito et al.,
        "Analysis of Linear Mode Connectivity via Permutation-Based Weight Matching: With
        Insights into Other Permutation Search Methods", ICLR 2025, arXiv 2402.04051.

    Deviations:
        The official code has a hand-written list of axes for each architecture; here the graph of
        the model gives it. Where one weight holds a group along two axes (recurrent kernels, a
        dense layer inside a residual stream) the assignment treats one of them as fixed; a step is
        then taken only if the sum over all weights really grows, so that no sweep can lead back.
        Moving statistics of batch normalization do not count, as there, but move along.

    Cost:
        Host memory of two copies of the weights in float64; per sweep and group of `n` channels
        one product of `n x d` matrices (`d` weights a channel) and one assignment, `O(n^3)`.
    """
    check_integer("max_sweeps", max_sweeps, minimum=1)
    check_integer("seed", seed, minimum=0)
    symmetries = Symmetries(model1, "match_weights", "model1")
    check_source(model1, model2, "match_weights", "model2")
    groups = symmetries.groups
    descent = Descent(list(groups.values()), read_source(model2, symmetries.indices))
    target = read_source(model1, sorted(descent.current))
    history, converged = descent.run(target, np.random.default_rng(seed), max_sweeps)
    return ChannelMatching(
        dict(zip(groups, descent.permutations, strict=True)),
        tuple(history),
        symmetries.stays,
        converged,
    )
