"""Carrying out a matching."""

from __future__ import annotations

from collections.abc import Mapping

import keras
import numpy as np

from keras_reweight.core.channels.symmetries import Symmetries
from keras_reweight.matching._descent import permuted_weights
from keras_reweight.matching.channel_matching import ChannelMatching
from keras_reweight.signatures.live_weights import read_weights
from keras_reweight.signatures.patch import Patch


def permute(
    model: keras.Model,
    matching: ChannelMatching | Mapping[str, np.ndarray],
    *,
    name: str = "permutation",
) -> Patch:
    """The patch that puts the channels of a model in another order; it computes the same.

    All weights that make, read or normalize the channels move along, moving statistics of batch
    normalization included. Use it after `match_weights` or `match_activations`, and apply the patch
    with `SignaturePatcher` or `patched`, or write it for good with `SignaturePatcher.commit`.
    Optimizer slots do not move: permute before a training, not in one.

    Args:
        model: The built model whose channels move: the second one of the matching.
        matching: A `ChannelMatching`, or a dict from the name of a group to an integer array of
            shape `(channels,)`, in which entry `i` is the channel that goes to place `i`. Groups
            that are not named stay as they are.
        name: String, name of the patch. Defaults to `"permutation"`.

    Returns:
        A `Patch` of kind `"permutation"`.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If `model` is not built or is a subclassed model, `matching` is empty or names
            an unknown group, or an entry is no permutation of the channels of its group.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    layers = [keras.Input((3,)), keras.layers.Dense(4, "relu", name="hidden")]
    model = keras.Sequential([*layers, keras.layers.Dense(2)])
    x = np.ones((1, 3), "float32")
    before = model.predict(x, verbose=0)
    with kr.matching.permute(model, {"hidden": np.array([3, 1, 0, 2])}).patched(model):
        np.testing.assert_allclose(model.predict(x, verbose=0), before, atol=1e-5)
    ```

    Reference:
        Ainsworth et al., "Git Re-Basin: Merging Models modulo Permutation Symmetries", ICLR 2023,
        arXiv 2209.04836, section 2.

    Cost:
        Host memory of the moved weights in float64, twice.
    """
    symmetries = Symmetries(model, "permute")
    orders = check_matching(symmetries, matching)
    indices = {site.index for group in orders for site in symmetries.groups[group].sites}
    weights = {
        index: array.astype("float64")
        for index, array in read_weights(model, sorted(indices)).items()
    }
    moved = permuted_weights(symmetries.groups, orders, weights)
    deltas = [(model.weights[index], moved[index] - weights[index]) for index in sorted(moved)]
    return Patch.from_deltas(model, deltas, name=name, kind="permutation")


def check_matching(
    symmetries: Symmetries, matching: ChannelMatching | Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """The permutations as integer arrays, if they are some of these groups."""
    permutations = matching.permutations if isinstance(matching, ChannelMatching) else matching
    if not isinstance(permutations, Mapping):
        raise TypeError(
            "`matching` must be a ChannelMatching or a dict from group to permutation, got "
            f"{matching!r:.60} of type {type(matching).__name__}."
        )
    if not permutations:
        raise ValueError(f"`matching` names no group of channels, got {permutations!r}.")
    found = {}
    for name, order in permutations.items():
        if name not in symmetries.groups:
            raise ValueError(
                f"`matching`: {name!r} is no group of channels that can be permuted. Groups: "
                f"{list(symmetries.groups)}. Layers that stay: {symmetries.stays}."
            )
        size, array = symmetries.groups[name].size, np.asarray(order)
        if array.shape != (size,) or not np.array_equal(np.sort(array), np.arange(size)):
            raise ValueError(
                f"`matching`[{name!r}] must be a permutation of 0..{size - 1}, got {order!r:.80}."
            )
        found[name] = array.astype("int64")
    return found
