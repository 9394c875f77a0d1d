"""Patches for models of another architecture that share a part."""

from __future__ import annotations

from typing import TypeVar

import keras

from keras_reweight.core.validation import check_built
from keras_reweight.signatures.architecture import Architecture
from keras_reweight.signatures.patch import Patch

AnyPatch = TypeVar("AnyPatch", bound=Patch)


def transfer(patch: AnyPatch, model: keras.Model) -> AnyPatch:
    """A patch of a backbone, for another model that has this backbone in it.

    A patch fits models of its own architecture only, the head included. When the backbone goes on
    in another model (with a head for other classes, nested in a larger model, in another
    precision), this finds the weights again: from the first to the last one that the patch
    changes, all must be there, one after another, with the same shapes and the same names of
    layers and weights, up to the numbers Keras appends. They are looked for at the same place
    first, then anywhere in the model.

    A signature shows its effect on models that began as the same pretrained one; the backbone may
    have been trained on since. For a model of the same architecture nothing needs to be
    transferred: apply the patch.

    Args:
        patch: A `Patch`.
        model: A built `keras.Model`.

    Returns:
        A patch of the same class, content and name for `model`.

    Raises:
        TypeError: If `patch` is not a patch or `model` not a model.
        ValueError: If `model` is not built, lacks the weights or has them in several places.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    def build(classes):
        backbone = keras.layers.Dense(4, name="backbone")
        return keras.Sequential([keras.Input((3,)), backbone, keras.layers.Dense(classes)])

    ten, two = build(10), build(2)
    patch = kr.Patch.from_deltas(ten, [(ten.layers[0].kernel, np.ones((3, 4)))], name="shift")
    with kr.signatures.transfer(patch, two).patched(two, alpha=0.5):
        assert two.predict(np.ones((1, 3)), verbose=0).shape == (1, 2)
    ```

    Reference:
        Cai et al., "Robust Weight Signatures: Gaining Robustness as Easy as Patching Weights?",
        ICML 2023, arXiv 2302.12480, for signatures of one data set on models of another.
    """
    if not isinstance(patch, Patch):
        raise TypeError(f"`patch` must be a Patch, got {patch!r}.")
    check_built(model, "transfer")
    architecture = Architecture.of(model)
    first, last = min(patch.indices), max(patch.indices)
    wanted = patch.architecture.specs[first : last + 1]
    if _matches(wanted, architecture, first) == len(wanted):
        place = first
    else:
        place = _only_place(patch, model, wanted, architecture)
    return patch.moved(architecture, {index: place + index - first for index in patch.indices})


def _only_place(patch, model, wanted, architecture):
    matches = [_matches(wanted, architecture, start) for start in range(len(architecture))]
    places = [start for start, count in enumerate(matches) if count == len(wanted)]
    if len(places) == 1:
        return places[0]
    what = f"`patch` {patch.name!r} cannot be transferred to model {model.name!r}:"
    if places:
        found = [architecture[place].path for place in places]
        raise ValueError(f"{what} its weights begin at any of {found}.")
    lacking = wanted[max(matches, default=0)]
    raise ValueError(
        f"{what} there is no run of weights like {wanted[0]} to {wanted[-1]}; the first one that "
        f"is not found is {lacking}."
    )


def _matches(wanted, architecture, start):
    """How many of the wanted weights are there from `start` on, one after another."""
    count = 0
    for mine, theirs in zip(wanted, architecture.specs[start:], strict=False):
        same = (mine.shape, mine.label, mine.is_float) == (
            theirs.shape,
            theirs.label,
            theirs.is_float,
        )
        if not same:
            break
        count += 1
    return count
