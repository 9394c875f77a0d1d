"""The layers that get bits, and their weight matrices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_compress.quantization.supported import Matrix, parts, refusal
from keras_compress.quantization.wrapper import QuantizeAware
from keras_reweight.core.selection import (
    all_layers,
    layers_by_path,
    leaf_layers,
    select_layers,
)


@dataclass(frozen=True)
class WeightLayer:
    """A layer, or a container of several, that gets one bit width."""

    path: str
    matrices: Sequence[Matrix]

    @property
    def size(self) -> int:
        """Number of weights in the matrices."""
        return sum(math.prod(matrix.variable.shape) for matrix in self.matrices)

    @property
    def variables(self) -> list[keras.Variable]:
        return [matrix.variable for matrix in self.matrices]


def weight_layers(model: keras.Model) -> tuple[dict[str, WeightLayer], dict[str, str]]:
    """The layers that can be quantized, by path; and why others with matrices cannot."""
    found: dict[str, WeightLayer] = {}
    skipped: dict[str, str] = {}
    seen: set[int] = set()
    paths = {id(layer): path for path, layer in layers_by_path(model).items()}
    for layer in all_layers(model):
        path = paths[id(layer)]
        if isinstance(layer, QuantizeAware):
            raise ValueError(
                f"`model`: layer {path!r} is quantization-aware already. Allocate bits for the "
                "float model, before `quantize_aware`."
            )
    for part in parts(model):
        path, reason = paths[id(part.layer)], refusal(part.layer)
        # A matrix that two layers share is stored once.
        own = [each for each in part.matrices if id(each.variable) not in seen]
        seen.update(id(each.variable) for each in own)
        if reason is not None:
            skipped[path] = reason
        elif own:
            found[path] = WeightLayer(path, own)
    for layer in leaf_layers(model):
        # A bias may have two axes; what has a matrix in the plan is no news.
        if any(len(v.shape) >= 2 for v in layer.weights) and not seen & set(map(id, layer.weights)):
            reason = refusal(layer) or "no matrix that can be quantized"
            skipped.setdefault(paths[id(layer)], reason)
    if not found:
        raise ValueError(
            f"`model` ({model.name!r}) has no layer that can be quantized. Skipped: {skipped}."
        )
    order = [path for path in paths.values() if path in found]
    return {path: found[path] for path in order}, skipped


def chosen_layers(
    model: keras.Model, layers: Any, known: tuple[dict, dict] | None = None
) -> list[WeightLayer]:
    """Those that a `layers=` argument names; a container stands for all it holds together.

    `known` is the result of `weight_layers`, where it is there already.
    """
    found, skipped = weight_layers(model) if known is None else known
    if layers is None:
        return list(found.values())
    paths = {id(layer): path for path, layer in layers_by_path(model).items()}

    def accept(layer):
        path = paths[id(layer)]
        if path in skipped:
            return skipped[path]
        outer = [each for each in found if path.startswith(f"{each}/")]
        if outer:
            return f"part of {outer[0]!r}, which gets its bits as a whole"
        return None if _inside(path, found) else "no weight matrix"

    selection = select_layers(model, layers, accept=accept, candidates=all_layers(model))
    chosen = [paths[id(layer)] for layer in selection.touched]
    units = []
    for path in chosen:
        # A pattern meets a container and what it holds: then the parts count, one by one.
        if any(other.startswith(f"{path}/") for other in chosen):
            continue
        parts = [matrix for inner in _inside(path, found) for matrix in found[inner].matrices]
        units.append(WeightLayer(path, parts))
    return units


def host_values(variable: keras.Variable) -> np.ndarray:
    """The weights in float64; what is not finite is refused."""
    values = np.asarray(ops.convert_to_numpy(variable.value)).astype("float64")
    if not np.isfinite(values).all():
        raise ValueError(f"`model`: weight {variable.path!r} has values that are not finite.")
    return values


def _inside(path, found):
    return [inner for inner in found if inner == path or inner.startswith(f"{path}/")]
