"""The strength of a patch: one number, or one for each layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from keras_reweight.core.validation import check_number
from keras_reweight.signatures.patch import Patch
from keras_reweight.signatures.weight_selection import select_weights

Alpha = float | Mapping[Any, float]


def check_alpha(alpha: Any) -> None:
    """Raise unless `alpha` is a finite number or a dict of those."""
    if not isinstance(alpha, Mapping):
        check_number("alpha", alpha)
        return
    if not alpha:
        raise ValueError(f"`alpha` names no layer, got {alpha!r}; use a number for all of them.")
    for value in alpha.values():
        check_number("alpha", value)


def plain_alpha(alpha: Alpha) -> Alpha:
    """`alpha` as the patcher keeps it; later changes of a dict do not reach it."""
    if isinstance(alpha, Mapping):
        return {layers: float(value) for layers, value in alpha.items()}
    return float(alpha)


def strengths(model: keras.Model, patch: Patch, alpha: Alpha) -> dict[int, float]:
    """The strength of every weight of a patch, by position in `model.weights`."""
    check_alpha(alpha)
    if not isinstance(alpha, Mapping):
        return dict.fromkeys(patch.indices, float(alpha))
    named: dict[int, float] = {}
    for layers, value in alpha.items():
        if layers is None:
            continue
        chosen = select_weights(model, layers, "statistics", argument="alpha").indices
        touched = set(chosen).intersection(patch.indices)
        if not touched:
            raise ValueError(
                f"`alpha`: patch {patch.name!r} changes no weight of {layers!r}; it changes "
                f"{list(patch.paths)}."
            )
        twice = sorted(touched & named.keys())
        if twice:
            raise ValueError(
                f"`alpha` has two values for {patch.architecture[twice[0]].path!r}, got {alpha!r}."
            )
        named.update(dict.fromkeys(touched, float(value)))
    rest = float(alpha.get(None, 1.0))
    return {index: named.get(index, rest) for index in patch.indices}
