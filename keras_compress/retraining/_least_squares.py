"""Kernels inside a given pattern that come closest to given outputs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass
class Products:
    """Sums over samples: inputs with inputs, inputs with targets, targets with themselves."""

    inputs: np.ndarray
    targets: np.ndarray
    energy: float

    @classmethod
    def zeros(cls, rows: int, outputs: int) -> Products:
        return cls(np.zeros((rows, rows)), np.zeros((rows, outputs)), 0.0)

    def add(self, inputs: np.ndarray, targets: np.ndarray) -> None:
        self.inputs += inputs.T @ inputs
        self.targets += inputs.T @ targets
        self.energy += float(np.sum(np.square(targets)))

    def error(self, weight: np.ndarray) -> float:
        """Squared distance between `inputs @ weight` and the targets."""
        fitted = np.sum(weight * (self.inputs @ weight - 2.0 * self.targets))
        return max(float(fitted) + self.energy, 0.0)


def masked_least_squares(
    products: Products, start: np.ndarray, mask: np.ndarray, damping: float
) -> np.ndarray:
    """The weights with zeros where `mask` is false that minimize the error, column by column.

    `damping` times the mean square of an input pulls towards `start`, so that inputs that are
    never active, or follow from others, leave their weights as they are.
    """
    weight = np.where(mask, start, 0.0)
    gradient = products.targets - products.inputs @ weight
    ridge = damping * float(np.mean(np.diag(products.inputs)))
    patterns: dict[bytes, list[int]] = {}
    for column in range(mask.shape[1]):
        patterns.setdefault(mask[:, column].tobytes(), []).append(column)
    for columns in patterns.values():
        kept = np.flatnonzero(mask[:, columns[0]])
        if not len(kept) or ridge <= 0.0:
            continue
        system = products.inputs[np.ix_(kept, kept)] + ridge * np.eye(len(kept))
        place = np.ix_(kept, np.asarray(columns))
        weight[place] += np.linalg.solve(system, gradient[place])
    return weight
