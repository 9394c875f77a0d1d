"""What a file on the command line is: a signature or weights."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np

from keras_reweight.core.stored_weights import StoredWeight, StoredWeights
from keras_reweight.signatures.architecture import Architecture
from keras_reweight.signatures.patch import Patch

_KEY, _MAX_HEADER = b'"kr_signature"', 2**27


def is_signature(path: str) -> bool:
    """Whether the file calls itself one; it may still be damaged."""
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        begin = file.read(1)
        # The header of safetensors is an object of JSON, other files begin otherwise.
        return begin == b"{" and _KEY in file.read(min(length, _MAX_HEADER))


def read_signature(path: str) -> Patch:
    """A signature, checked."""
    if not is_signature(path):
        raise ValueError(f"{path!r} is no signature file.")
    return Patch.load(path)


def placed(architecture: Architecture, file: StoredWeights) -> dict[int, StoredWeight]:
    """The array of the file for each weight of the architecture; nothing is guessed.

    A weight is found by the names of its layers, and by its place among the weights of its layer.

    Raises:
        ValueError: If a weight has no array, or several, or one of another shape or dtype.
    """
    by_key = {weight.key: weight for weight in file.weights}
    found: dict[int, StoredWeight] = {}
    for owner, indices in _by_owner(architecture).items():
        paths = [architecture[index].path for index in indices]
        if all(path in by_key for path in paths):
            arrays = [by_key[path] for path in paths]
        else:
            arrays = _arrays_of(owner, file)
        if len(arrays) != len(indices):
            raise ValueError(
                f"{str(file.path)!r} has {len(arrays)} arrays of layer {'/'.join(owner)!r}, the "
                f"signature knows {len(indices)} weights of it: {paths}."
            )
        for index, array in zip(indices, arrays, strict=True):
            spec = architecture[index]
            if (spec.shape, spec.dtype) != (array.shape, array.dtype):
                raise ValueError(
                    f"{str(file.path)!r}: {array.label} has shape {array.shape} and dtype "
                    f"{array.dtype}, but the signature is for {spec}."
                )
            found[index] = array
    return found


def _by_owner(architecture):
    groups: dict[tuple[str, ...], list[int]] = {}
    for index, spec in enumerate(architecture):
        groups.setdefault(tuple(spec.path.split("/")[:-1]), []).append(index)
    return groups


def _arrays_of(owner, file):
    """Arrays of the layer, in the order of its weights."""
    groups: dict[tuple[str, ...], list[StoredWeight]] = {}
    for weight in file.weights:
        if weight.owner is not None and weight.number is not None:
            groups.setdefault(weight.owner, []).append(weight)
    # A functional model inside another adds a name to the file and none to the paths of weights.
    fitting = [known for known in groups if _ends_alike(known, owner)]
    exact = [known for known in fitting if known == owner]
    if len(exact or fitting) != 1:
        names = sorted("/".join(known) for known in groups)
        problem = "no layer" if not fitting else "several layers"
        raise ValueError(
            f"{str(file.path)!r} has {problem} {'/'.join(owner)!r}; its layers are {names}. "
            "Names must be those of the model the signature was made from."
        )
    return sorted(groups[(exact or fitting)[0]], key=lambda weight: weight.number)


def _ends_alike(first, second):
    short, long = sorted((first, second), key=len)
    return bool(short) and long[-len(short) :] == short


@dataclass(frozen=True)
class Numbers:
    """What a line of a table says about an array."""

    norm: float
    largest: float
    finite: bool

    @classmethod
    def of(cls, array: np.ndarray) -> Numbers:
        values = array.astype("float64")
        finite = bool(np.isfinite(values).all())
        largest = float(np.abs(values).max(initial=0.0))
        return cls(float(np.linalg.norm(values)), largest, finite)


def header_of(path: str) -> dict:
    """The metadata of a safetensors file that was read before."""
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        return json.loads(file.read(length)).get("__metadata__", {})
