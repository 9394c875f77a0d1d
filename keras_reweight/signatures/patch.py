"""A change of the weights of a model."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterable, Mapping
from typing import Any, Self

import keras
import numpy as np

from keras_reweight.core.validation import check_built, check_choice, check_number
from keras_reweight.signatures import codecs, patch_file
from keras_reweight.signatures.architecture import Architecture


class Patch:
    """A change of some weights of a model: an array to add to each of them.

    Every way of changing a live model's weights is a patch: signatures, task vectors, edits. A
    patch is immutable and knows no model, only its architecture; `SignaturePatcher` or `patched`
    puts it on one and takes it off again bit for bit. Patches of one architecture form a vector
    space in float64: `patch * 0.5`, `-patch`, `a + b`, `a - b`, `sum([a, b])`. Scaling keeps the
    stored form, so a compressed patch stays compressed; adding decodes both.

    Args:
        architecture: `Architecture` of the models the patch fits; to make a patch by hand, use
            `Patch.from_deltas(model, [(variable, delta), ...])`.
        entries: Dict from position in `model.weights` to `codecs.Encoded`.
        name: String, under which a patcher keeps the patch.
        kind: String, what the patch is.
        coefficient: Float, the changes are multiplied by it. Defaults to `1.0`.
        sources: Dict from string to SHA-256 of the touched weights the patch was made from, kept
            for the record.

    Returns:
        An object with `delta(weight)`, a float64 array of the shape of the weight, `indices`,
        `paths`, `nbytes`, `compress`, `renamed`, `save`, `load`, `digest` and `patched`.

    Raises:
        ValueError: If `entries` is empty, an array does not fit `architecture`, `name` is empty or
            `coefficient` is not finite; from `load`, if the file is truncated, changed or of
            another version.
        TypeError: If `name` is not a string or `coefficient` is not a number.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    kernel = model.layers[0].kernel
    patch = kr.Patch.from_deltas(model, [(kernel, np.ones((2, 1)))], name="shift")
    with (0.5 * patch).patched(model):
        changed = model.predict(np.ones((1, 2)), verbose=0)
    np.testing.assert_allclose(model.predict(np.ones((1, 2)), verbose=0) + 1.0, changed, rtol=1e-5)
    ```

    Reference:
        Ilharco et al., "Editing Models with Task Arithmetic", ICLR 2023, arXiv 2212.04089, for the
        arithmetic; the file is safetensors.

    Cost:
        Eight bytes of host memory per changed number, less after `compress`.
    """

    # What a subclass may hold; empty for anything.
    _kinds: tuple[str, ...] = ()
    # Lets `numpy.float64(0.5) * patch` reach `__rmul__`.
    __array_ufunc__ = None

    def __init__(
        self,
        architecture: Architecture,
        entries: Mapping[int, codecs.Encoded],
        *,
        name: str,
        kind: str,
        coefficient: float = 1.0,
        sources: Mapping[str, str] | None = None,
    ):
        _check_text("name", name)
        _check_text("kind", kind)
        if self._kinds:
            check_choice("kind", kind, self._kinds)
        check_number("coefficient", coefficient)
        if not isinstance(architecture, Architecture):
            raise TypeError(f"`architecture` must be an Architecture, got {architecture!r}.")
        for argument, value in (("entries", entries), ("sources", sources or {})):
            if not isinstance(value, Mapping):
                raise TypeError(f"`{argument}` must be a dict, got {value!r}.")
        if not entries:
            raise ValueError(f"`entries` of patch {name!r} is empty: it would change nothing.")
        for index, encoded in entries.items():
            if index not in range(len(architecture)):
                raise ValueError(f"`entries` of patch {name!r}: there is no weight {index!r}.")
            spec = architecture[index]
            if encoded.shape != spec.shape or not spec.is_float:
                raise ValueError(
                    f"`entries` of patch {name!r}: an array of shape {encoded.shape} does not fit "
                    f"weight {index}, {spec}."
                )
        self.architecture = architecture
        self.name = name
        self.kind = kind
        self.coefficient = float(coefficient)
        self.sources = dict(sources or {})
        self._entries = dict(sorted(entries.items()))

    @classmethod
    def from_deltas(
        cls,
        model: keras.Model,
        deltas: Iterable[tuple[keras.Variable, Any]],
        *,
        name: str,
        kind: str = "edit",
        sources: Mapping[str, str] | None = None,
    ) -> Self:
        """A patch that adds `delta` to `variable`, for every pair."""
        check_built(model, "Patch.from_deltas")
        architecture = Architecture.of(model)
        position = {id(variable): index for index, variable in enumerate(model.weights)}
        seen: set[int] = set()

        def arrays():
            for variable, delta in deltas:
                index = position.get(id(variable))
                if index is None or index in seen:
                    problem = "is not a weight of" if index is None else "is given twice for"
                    raise ValueError(f"`deltas`: {variable!r} {problem} model {model.name!r}.")
                seen.add(index)
                if isinstance(delta, keras.Variable) or keras.ops.is_tensor(delta):
                    delta = keras.ops.convert_to_numpy(delta)
                yield index, np.asarray(delta, dtype=np.float64)

        entries = codecs.encode_all(architecture, arrays(), codec="float64")
        return cls(architecture, entries, name=name, kind=kind, sources=sources)

    @property
    def indices(self) -> tuple[int, ...]:
        """Positions in `model.weights` of the weights it changes."""
        return tuple(self._entries)

    @property
    def paths(self) -> tuple[str, ...]:
        """Paths of the weights it changes, without the name of the model."""
        return tuple(self.architecture[index].path for index in self._entries)

    @property
    def stored_as(self) -> tuple[str, ...]:
        """The codec of each change, in the order of `indices`."""
        return tuple(encoded.codec for encoded in self._entries.values())

    @property
    def nbytes(self) -> int:
        """Bytes of the stored arrays; a file adds its header."""
        return sum(encoded.nbytes for encoded in self._entries.values())

    def delta(self, weight: int | str) -> np.ndarray:
        """The float64 array added to a weight, given by its position or its path."""
        return self.coefficient * codecs.decode(self.stored(weight))

    def stored(self, weight: int | str) -> codecs.Encoded:
        """The stored change of a weight; `delta` is `coefficient` times what it decodes to."""
        index = weight
        if isinstance(weight, str):
            found = [i for i in self._entries if self.architecture[i].path == weight]
            index = found[0] if found else weight
        if index not in self._entries:
            raise ValueError(
                f"`weight`={weight!r} is not changed by patch {self.name!r}; it changes "
                f"{dict(zip(self.indices, self.paths, strict=True))}."
            )
        return self._entries[index]

    def digest(self) -> str:
        """SHA-256 of all content, name included."""
        return patch_file.digest(self._content())

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(name={self.name!r}, kind={self.kind!r}, "
            f"{len(self._entries)} of {len(self.architecture)} weights, {self.nbytes} bytes)"
        )

    def renamed(self, name: str) -> Self:
        """The same patch under another name."""
        return self._replaced(name=name)

    def moved(self, architecture: Architecture, places: Mapping[int, int]) -> Self:
        """The same changes for other weights, given as old position -> new position."""
        entries = {places[index]: encoded for index, encoded in self._entries.items()}
        return self._replaced(architecture=architecture, entries=entries)

    def compress(
        self,
        codec: str = "int8",
        *,
        rank: int | None = None,
        energy: float = 0.9,
        density: float | None = None,
    ) -> Self:
        """A smaller patch.

        `"int8"` stores one scale per output channel (the last axis), so each number is off by at
        most half its scale. `"low_rank_int8"` stores two int8 factors of each kernel, seen as a
        matrix with one column per output channel, where that is smaller: `rank` columns, or as
        many as keep `energy` of the squared sum. `"sparse_int8"` keeps the largest numbers of each
        kernel (a share of `density`, by default 0.1) at two bytes each, where that is smaller. All
        three leave arrays of one axis in float32. The others round every number once.
        """
        options = codecs.check_options(codec, rank, energy, density)
        deltas = ((index, self.delta(index)) for index in self.indices)
        entries = codecs.encode_all(self.architecture, deltas, **options)
        return self._replaced(entries=entries, coefficient=1.0)

    def __mul__(self, factor: float) -> Self:
        check_number("factor", factor)
        coefficient = self.coefficient * float(factor)
        if not math.isfinite(coefficient):
            raise ValueError(f"`factor`={factor!r} makes the changes of {self.name!r} infinite.")
        return self._replaced(coefficient=coefficient)

    __rmul__ = __mul__

    def __neg__(self) -> Self:
        return self * -1.0

    def __add__(self, other: Patch) -> Self:
        if not isinstance(other, Patch):
            return NotImplemented
        self.architecture.check(other.architecture, f"Patch {other.name!r}, to be added,")
        both = (self, other)
        sums = (
            (index, np.asarray(sum(one.delta(index) for one in both if index in one.indices)))
            for index in sorted({*self.indices, *other.indices})
        )
        return self._replaced(
            entries=codecs.encode_all(self.architecture, sums, codec="float64"),
            name=f"{self.name}+{other.name}",
            kind=self.kind if self.kind == other.kind else "composition",
            coefficient=1.0,
            sources={},
        )

    def __radd__(self, other: Any) -> Self:
        return self if isinstance(other, int) and other == 0 else NotImplemented  # of `sum`

    def __sub__(self, other: Patch) -> Self:
        return self + -other if isinstance(other, Patch) else NotImplemented

    def save(self, path: str | os.PathLike) -> None:
        """Write the patch as it is stored now; the same patch gives the same bytes."""
        patch_file.write(path, self._content())

    @classmethod
    def load(cls, path: str | os.PathLike) -> Self:
        """Read a file that `save` wrote; any defect raises before anything is used."""
        content = patch_file.read(path)
        if cls._kinds and content.kind not in cls._kinds:
            raise ValueError(
                f"{str(path)!r} holds a patch of kind {content.kind!r}, not one of {cls._kinds}; "
                "read it with `Patch.load`."
            )
        return cls(**vars(content))

    def patched(
        self, model: keras.Model, alpha: float | Mapping[Any, float] = 1.0
    ) -> contextlib.AbstractContextManager[keras.Model]:
        """`with patch.patched(model): ...`, see `patched`."""
        from keras_reweight.signatures.patched import patched

        return patched(model, self, alpha)

    def _arguments(self):
        return {
            "architecture": self.architecture,
            "entries": self._entries,
            "name": self.name,
            "kind": self.kind,
            "coefficient": self.coefficient,
            "sources": self.sources,
        }

    def _content(self):
        return patch_file.Content(**self._arguments())

    def _replaced(self, **changes):
        return type(self)(**{**self._arguments(), **changes})


def _check_text(argument, value):
    if not isinstance(value, str) or not value:
        error = ValueError if value == "" else TypeError
        raise error(f"`{argument}` must be a string with content, got {value!r}.")
