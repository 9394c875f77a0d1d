"""Matching channels by what they compute on data."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from keras_reweight.core.channels.symmetries import Symmetries
from keras_reweight.core.selection import layers_by_path
from keras_reweight.core.state import sync_model
from keras_reweight.core.validation import check_built, check_choice, check_integer
from keras_reweight.matching._assignment import best_assignment
from keras_reweight.matching._readers import Reader, find_readers, iterate_inputs, seen_by
from keras_reweight.matching._sources import check_source
from keras_reweight.matching.channel_matching import ChannelMatching

MEASURES = ("correlation", "inner_product")


def match_activations(
    model1: keras.Model,
    model2: keras.Model,
    data: Any,
    *,
    measure: str = "correlation",
    batch_size: int = 128,
) -> ChannelMatching:
    """The order of the hidden channels of `model2` that do on data what those of `model1` do.

    The same question as in `match_weights`, answered by what the channels compute instead of by
    their weights. It takes a few hundred unlabeled samples and one pass of both models, treats
    every group by itself, and cannot stop at a poor point as sweeps can; it is the better choice
    for narrow networks and short trainings. Without data, use `match_weights`.

    For every group the scores `S[i, j]` compare channel `i` of `model1` with channel `j` of
    `model2` where the layers that read the group see them: their correlation, or the inner product
    `sum z1_i z2_j` over samples and places. The permutation with the largest total score solves a
    linear assignment problem; several layers that read one group add up.

    Args:
        model1: A built Functional or Sequential `keras.Model`.
        model2: A `keras.Model` with the same layers.
        data: Inputs: arrays, `(x, ...)`, `PyDataset`, `tf.data`, `DataLoader` or batches; labels
            are ignored.
        measure: `"correlation"` or `"inner_product"`. Channels that are constant on the data
            correlate with nothing. Defaults to `"correlation"`.
        batch_size: Integer >= 1, where `data` are arrays. Defaults to `128`.

    Returns:
        A `ChannelMatching`. Groups that no layer of the graph reads one by one, such as the heads
        inside an attention layer, are not in it; `stays` names them.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If a model is not built, `model1` is a subclassed model or has no channels that
            can be permuted, `model2` has other layers, or `measure` is unknown.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    layers = [keras.Input((3,)), keras.layers.Dense(4, "tanh", name="hidden")]
    model1 = keras.Sequential([*layers, keras.layers.Dense(2)])
    model2 = keras.models.clone_model(model1)
    kernel, bias, head, offset = model1.get_weights()
    order = np.array([2, 0, 3, 1])
    model2.set_weights([kernel[:, order], bias[order], head[order], offset])
    x = np.random.default_rng(0).normal(size=(50, 3)).astype("float32")
    matching = kr.matching.match_activations(model1, model2, x)
    np.testing.assert_array_equal(order[matching.permutations["hidden"]], np.arange(4))
    ```

    Reference:
        Ainsworth et al., "Git Re-Basin: Merging Models modulo Permutation Symmetries", ICLR 2023,
        arXiv 2209.04836, section 3.1 (inner product); Li et al., "Convergent Learning: Do
        Different Neural Networks Learn the Same Representations?", ICLR 2016, arXiv 1511.07543
        (correlation).

    Deviations:
        The papers match the outputs of layers; here it is the inputs of the layers that read a
        group, behind normalization, activation and addition. Masked time steps count.

    Cost:
        One forward pass of both models and, for each group of `n` channels, `n^2` sums and one
        assignment, `O(n^3)`. Only the activations of one batch are held.
    """
    check_built(model1, "match_activations", "model1")
    check_built(model2, "match_activations", "model2")
    check_choice("measure", measure, MEASURES)
    check_integer("batch_size", batch_size, minimum=1)
    symmetries = Symmetries(model1, "match_activations", "model1")
    check_source(model1, model2, "match_activations", "model2")
    paths = list(layers_by_path(model1))
    if len(paths) != len(layers_by_path(model2)):
        raise ValueError(
            f"`model2` ({model2.name!r}) must have the layers of `model1`: {len(paths)}, it has "
            f"{len(layers_by_path(model2))}."
        )
    for model in (model1, model2):
        sync_model(model)
    readers = find_readers(symmetries)
    scores = _scores(model1, model2, readers, paths, data, measure, batch_size)
    permutations, before, after = {}, 0.0, 0.0
    stays = dict(symmetries.stays)
    for name, group in symmetries.groups.items():
        if name not in scores:
            for path in symmetries.channels.group(name).producers:
                stays.setdefault(path, "no layer of the graph reads its channels one by one")
            continue
        places = np.arange(group.size)
        permutations[name] = best_assignment(scores[name])
        before += float(scores[name][places, places].sum())
        after += float(scores[name][places, permutations[name]].sum())
    return ChannelMatching(permutations, (before, after), stays)


class _Products:
    """Sums of the values of two models and of their products, by channel."""

    def __init__(self, reader: Reader):
        size = len(reader.positions)
        self.reader, self.count = reader, 0
        self.sums = np.zeros((2, size))
        self.squares = np.zeros((2, size))
        self.products = np.zeros((size, size))

    def add(self, *inputs: np.ndarray) -> None:
        first, second = (self.reader.samples(each) for each in inputs)
        self.count += len(first)
        for number, values in enumerate((first, second)):
            self.sums[number] += values.sum(axis=0)
            self.squares[number] += (values**2).sum(axis=0)
        self.products += first.T @ second

    def correlations(self) -> np.ndarray:
        """Zero where a channel is constant."""
        mean, other = self.sums / self.count
        covariance = self.products / self.count - np.outer(mean, other)
        squares = self.squares / self.count
        variances = squares - np.stack([mean, other]) ** 2
        # The difference of two equal numbers is rounding.
        alive = variances > 1e-10 * squares
        deviations = np.sqrt(np.where(alive, variances, 1.0))
        return np.where(np.outer(*alive), covariance / np.outer(*deviations), 0.0)


def _scores(model1, model2, readers, paths, data, measure, batch_size):
    products = [_Products(reader) for reader in readers]
    if readers:
        see = [seen_by(model, readers, paths) for model in (model1, model2)]
        for x in iterate_inputs(data, batch_size):
            for each, first, second in zip(products, see[0](x), see[1](x), strict=True):
                each.add(first, second)
    scores: dict[str, np.ndarray] = {}
    for each in products:
        found = each.correlations() if measure == "correlation" else each.products
        scores[each.reader.group] = scores.get(each.reader.group, 0.0) + found
    return scores
