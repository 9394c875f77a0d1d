"""What must agree before weights of one model are combined with those of another."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import keras

_AUTOMATIC_NUMBER = re.compile(r"_\d+$")


@dataclass(frozen=True)
class WeightSpec:
    """Path (without the name of the model), shape and dtype of one weight."""

    path: str
    shape: tuple[int, ...]
    dtype: str

    @property
    def is_float(self) -> bool:
        return keras.backend.is_float_dtype(self.dtype)

    @property
    def label(self) -> str:
        """Layer and weight name, without the numbers Keras appends to default names.

        Enclosing scopes are left out: cloning and reloading a nested model change them.
        """
        parts = self.path.split("/")[-2:]
        return "/".join(_AUTOMATIC_NUMBER.sub("", part) for part in parts)

    @property
    def fits(self) -> tuple:
        """What two weights must have in common."""
        return self.shape, self.dtype, self.label

    def __str__(self) -> str:
        return f"{self.path!r} of shape {self.shape} and dtype {self.dtype}"


@dataclass(frozen=True)
class Architecture:
    """The weights of a model in the order of `model.weights`."""

    specs: tuple[WeightSpec, ...]

    @classmethod
    def of(cls, model: keras.Model) -> Architecture:
        return cls(
            tuple(
                WeightSpec(
                    _without_root(variable.path, model.name),
                    tuple(int(size) for size in variable.shape),
                    keras.backend.standardize_dtype(variable.dtype),
                )
                for variable in model.weights
            )
        )

    def __len__(self) -> int:
        return len(self.specs)

    def __iter__(self) -> Iterator[WeightSpec]:
        return iter(self.specs)

    def __getitem__(self, index: int) -> WeightSpec:
        return self.specs[index]

    def difference(self, other: Architecture) -> str | None:
        """The first way in which `other` does not fit, in words; `None` if it fits."""
        for index, (mine, theirs) in enumerate(zip(self.specs, other.specs, strict=False)):
            same = (mine.shape, mine.dtype, mine.label) == (
                theirs.shape,
                theirs.dtype,
                theirs.label,
            )
            if not same:
                return f"weight {index} is {mine} here, but {theirs} there"
        if len(self) != len(other):
            return f"{len(self)} weights here, but {len(other)} there"
        return None

    def check(self, other: Architecture, what: str) -> None:
        """Raise `ValueError` starting with `what` unless `other` fits."""
        difference = self.difference(other)
        if difference is not None:
            raise ValueError(f"{what} is of another architecture: {difference}.")


def _without_root(path, root):
    # Sequential and subclassed models put their own name in front, functional models do not.
    first, _, rest = path.partition("/")
    return rest if rest and first == root else path
