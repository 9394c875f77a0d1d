"""What allocations and rules may look at besides scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_compress.pruning.patterns.pattern import Pattern
from keras_compress.pruning.prunable_weights import PrunableWeights


@dataclass(frozen=True)
class PruningContext:
    """A model, the variables that are pruned, their unique paths, and the pattern of each.

    Scores and counts that go with it are those of the units of the patterns.
    """

    model: keras.Model
    variables: Sequence[keras.Variable]
    paths: Sequence[str]
    patterns: Sequence[Pattern]

    @classmethod
    def of(cls, model: keras.Model, weights: PrunableWeights, pattern: Pattern) -> PruningContext:
        """The context of the chosen weights of a model."""
        patterns = [
            pattern.for_variable(variable, layer)
            for variable, layer in zip(weights.variables, weights.layers, strict=True)
        ]
        return cls(model, weights.variables, weights.paths, patterns)

    def num_units(self) -> list[int]:
        """Units of each variable."""
        pairs = zip(self.variables, self.patterns, strict=True)
        return [pattern.num_units(tuple(v.shape)) for v, pattern in pairs]

    def units(self, scores: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Scores of units from scores of weights."""
        return [pattern.units(s) for pattern, s in zip(self.patterns, scores, strict=True)]

    def expand(self, masks: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Masks of weights from masks of units."""
        return [
            pattern.expand(mask, tuple(variable.shape))
            for pattern, mask, variable in zip(self.patterns, masks, self.variables, strict=True)
        ]


def check_pattern(pattern: Any) -> Pattern:
    """`None` stands for single weights; anything else must be a `Pattern`."""
    if pattern is None:
        return Pattern()
    if not isinstance(pattern, Pattern):
        raise TypeError(f"`pattern` must be a Pattern, got {pattern!r}.")
    return pattern
