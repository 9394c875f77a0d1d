"""Coordinate descent over the groups: one assignment problem at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from keras_reweight.core.channels.symmetries import Site, Sites
from keras_reweight.matching._assignment import best_assignment

# Gains below are rounding.
_PROGRESS = 1e-12


class Descent:
    """Permutations that bring the weights of a model near those of another.

    Attributes:
        groups: The `Sites`, each with one permutation.
        current: Dict from weight index to its float64 array under the present permutations.
        permutations: List of integer arrays: entry `i` is the channel that is at place `i`.
    """

    def __init__(self, groups: Sequence[Sites], weights: Mapping[int, np.ndarray]):
        self.groups = list(groups)
        self.permutations = [np.arange(group.size) for group in self.groups]
        wanted = {site.index for group in self.groups for site in group.compared}
        self.current = {index: weights[index].astype("float64") for index in sorted(wanted)}

    def similarity(self, target: Mapping[int, np.ndarray]) -> float:
        """Sum of the products of all weights with those of the target."""
        return sum(float(np.vdot(target[index], own)) for index, own in self.current.items())

    def sweep(self, target: Mapping[int, np.ndarray], rng: np.random.Generator) -> bool:
        """Visit every group once, in random order; whether any found a better permutation."""
        visits = [self._visit(number, target) for number in rng.permutation(len(self.groups))]
        return any(visits)

    def run(
        self, target: Mapping[int, np.ndarray], rng: np.random.Generator, max_sweeps: int
    ) -> tuple[list[float], bool]:
        """Sweep until nothing improves; the similarity before and after each, and if it ended."""
        history = [self.similarity(target)]
        for _ in range(max_sweeps):
            progress = self.sweep(target, rng)
            history.append(self.similarity(target))
            if not progress:
                return history, True
        return history, False

    def _visit(self, number, target):
        group = self.groups[number]
        scores = np.zeros((group.size, group.size))
        for site in group.compared:
            scores += site.rows(target[site.index]) @ site.rows(self.current[site.index]).T
        order = best_assignment(scores)
        places = np.arange(group.size)
        gain = scores[places, order].sum() - scores[places, places].sum()
        if not gain > _PROGRESS:
            return False
        moved = _permuted(group.compared, self.current, order)
        if group.is_quadratic:
            # The scores took one axis of a weight as fixed while the other moves.
            gain = sum(
                float(np.vdot(target[index], new - self.current[index]))
                for index, new in moved.items()
            )
            if not gain > _PROGRESS:
                return False
        self.current.update(moved)
        self.permutations[number] = self.permutations[number][order]
        return True


def _permuted(sites: Sequence[Site], arrays: Mapping[int, np.ndarray], order: np.ndarray):
    moved: dict[int, np.ndarray] = {}
    for site in sites:
        moved[site.index] = site.permuted(moved.get(site.index, arrays[site.index]), order)
    return moved


def permuted_weights(
    groups: Mapping[str, Sites],
    permutations: Mapping[str, np.ndarray],
    weights: Mapping[int, np.ndarray],
) -> dict[int, np.ndarray]:
    """The weights that hold channels of the named groups, moving statistics too, in new order."""
    moved: dict[int, np.ndarray] = {}
    for name, order in permutations.items():
        for site in groups[name].sites:
            array = moved.get(site.index, weights[site.index])
            moved[site.index] = site.permuted(array, order)
    return moved
