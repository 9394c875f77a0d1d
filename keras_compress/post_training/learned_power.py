"""Levels that are evenly spaced after a power, exponent and codes learned together."""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
import numpy as np

from keras_compress.grids.quantized_matrix import QuantizedMatrix
from keras_compress.post_training._changed_problem import problem_gram
from keras_compress.post_training._soft_rounding import Adam, beta_at, hardening
from keras_compress.post_training.layer_problem import LayerProblem
from keras_compress.post_training.power_search import PowerSearch, power_grid
from keras_compress.post_training.solver import Solver
from keras_reweight.core.validation import check_boolean, check_integer, check_number

#: Exponents outside make steps that no kernel needs and slopes without bound.
_LOWEST, _HIGHEST = 0.1, 2.0


@keras.saving.register_keras_serializable(package="keras_compress")
class LearnedPower(Solver):
    """Learn the exponent of powers and all codes together, by the outputs of the layer (NUPES).

    At 3 and 4 bits with a symmetric grid, for weights with many values near zero; about half of the
    error of `PowerSearch`, which takes the nearest codes. `CoordinateDescent` may still lower it.
    With `L = 2**(bits - 1) - 1` and `M` the largest weight of an output, the level of the signed
    code `k` is

        l(k) = sign(k) M (|k| / L)**(1 / a).

    Every weight has a code `u` that is no integer and may go anywhere from `-L` to `L`, not only up
    or down. Between `n = floor(u)` and `n + 1` the value is
    `v = l(n) + (u - n) (l(n + 1) - l(n))`, at first the weight itself. Adam minimizes over `u` and
    `a`, from the exponent that `PowerSearch(objective="outputs")` finds,

        |X (W - v)|^2 / |X (W - round(W))|^2 + regularization * mean(1 - |2 (u - n) - 1|**beta)

    where `beta` falls from 20 to 2, so that codes end at integers. If this is not better than the
    search, its codes stay.

    Args:
        steps: Integer >= 1, of Adam. Defaults to `1000`.
        learning_rate: Float > 0, of the codes. Defaults to `0.01`.
        exponent_rate: Float >= 0, of the exponents; 0 keeps what the search found. Defaults to
            `0.001`.
        regularization: Float >= 0. Defaults to `100.0`.
        shared: Boolean, whether one exponent serves the whole kernel instead of one an output.
            Defaults to `True`.

    Returns:
        A `Solver` for `post_training.quantize`; it gives a symmetric `PowerGrid`.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If an argument is outside its range; in `solve`, if `bits` is 1, groups of
            inputs are asked for, which powers do not have, or the statistics are missing.

    Example:

    ```python
    import numpy as np
    import keras_compress as kc

    generator = np.random.default_rng(0)
    x = generator.normal(size=(200, 16)) @ generator.normal(size=(16, 16))
    problem = kc.post_training.LayerProblem.from_inputs(generator.laplace(size=(16, 8)), x, bits=3)
    search = kc.post_training.PowerSearch(objective="outputs").solve(problem)
    learned = kc.post_training.LearnedPower(steps=300).solve(problem)
    assert problem.error(learned.values()) < problem.error(search.values())
    ```

    Reference:
        Yvinec et al., "NUPES: Non-Uniform Post-Training Quantization via Power Exponent Search",
        IEEE TPAMI 2025, arXiv 2308.05600.

    Deviations:
        The paper has no code; that codes are learned over all of the grid and the exponent along
        with them is its idea, the line between two codes and the regularizer are those of
        `LearnedRounding`, without a warm-up. The slope in the exponent is that of the levels, which
        is bounded, not that of the powers of the weights, which is not near zero. Exponents stay
        in 0.1 to 2. Products in the domain of powers, for integers only, are not offered.

    Cost:
        `PowerSearch`, and `steps` products of the Gram matrix with the kernel.
    """

    def __init__(
        self,
        steps: int = 1000,
        *,
        learning_rate: float = 0.01,
        exponent_rate: float = 0.001,
        regularization: float = 100.0,
        shared: bool = True,
    ):
        check_integer("steps", steps, minimum=1)
        check_number("learning_rate", learning_rate, exclusive_minimum=0.0)
        check_number("exponent_rate", exponent_rate, minimum=0.0)
        check_number("regularization", regularization, minimum=0.0)
        check_boolean("shared", shared)
        self.steps = steps
        self.learning_rate = learning_rate
        self.exponent_rate = exponent_rate
        self.regularization = regularization
        self.shared = shared

    @property
    def needs(self) -> frozenset[str]:  # type: ignore[override]
        """The statistics to collect."""
        return frozenset({"gram"})

    def solve(self, problem: LayerProblem) -> QuantizedMatrix:
        search = PowerSearch(self.shared, objective="outputs").solve(problem)
        weight, gram = problem.weight, problem_gram(problem)

        def error(grid: Any, codes: np.ndarray) -> float:
            away = grid.decode(codes) - weight
            return 0.5 * float(np.vdot(away, gram @ away))

        least = error(search.grid, search.codes)
        if not least:
            return search
        found: Any = search.grid
        exponent = np.broadcast_to(found.exponent, (1, weight.shape[1])).astype("float64")
        codes, exponent = self._learned(weight, gram / least, exponent, problem.bits)
        grid = power_grid(weight, problem.bits, exponent[0, 0] if self.shared else exponent)
        if error(grid, codes) >= least:
            return search
        return problem.stored(codes, grid)

    def _learned(self, weight, gram, exponent, bits):
        powers = Powers.of(weight, bits)
        position = powers.position(weight, exponent)
        of_codes, of_exponent = Adam(self.learning_rate), Adam(self.exponent_rate)
        pull = self.regularization / weight.size
        for step in range(self.steps):
            value, slope, bend, share = powers.soft(position, exponent)
            gradient = gram @ (value - weight)
            along = np.sum(gradient * bend, axis=0, keepdims=True)
            if self.shared:
                along = np.full_like(along, along.sum())
            # From the start: the error is zero there, and Adam would follow its rounding.
            hard = pull * hardening(share, beta_at(step, self.steps, 0.0))
            position = position - of_codes.step(gradient * slope + hard)
            position = np.clip(position, -powers.highest, powers.highest)
            exponent = np.clip(exponent - of_exponent.step(along), _LOWEST, _HIGHEST)
        return (np.rint(position) + powers.highest + 1).astype("uint8"), exponent

    def get_config(self) -> dict:
        return {
            "steps": self.steps,
            "learning_rate": self.learning_rate,
            "exponent_rate": self.exponent_rate,
            "regularization": self.regularization,
            "shared": self.shared,
        }


class Powers(NamedTuple):
    """The levels of the signed codes from `-highest` to `highest`; `largest` is `(1, outputs)`."""

    largest: np.ndarray
    highest: int

    @classmethod
    def of(cls, weight: np.ndarray, bits: int) -> Powers:
        largest = np.abs(weight).max(axis=0, keepdims=True)
        return cls(np.where(largest > 0.0, largest, 1.0), 2 ** (bits - 1) - 1)

    def level(self, codes: np.ndarray, exponent: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Levels, and their derivatives with respect to the exponent."""
        share = np.abs(codes) / self.highest
        level = np.sign(codes) * self.largest * share ** (1.0 / exponent)
        logarithm = np.log(np.where(share > 0.0, share, 1.0))
        return level, -level * logarithm / exponent**2

    def soft(self, position: np.ndarray, exponent: np.ndarray) -> tuple[np.ndarray, ...]:
        """Values, derivatives by position and by exponent, and shares between two codes."""
        below = np.clip(np.floor(position), -self.highest, self.highest - 1)
        share = position - below
        (lower, under), (upper, over) = (self.level(below + i, exponent) for i in (0, 1))
        gap = upper - lower
        return lower + share * gap, gap, under + share * (over - under), share

    def position(self, weight: np.ndarray, exponent: np.ndarray) -> np.ndarray:
        """The positions whose values are the weights."""
        power = np.sign(weight) * (np.abs(weight) / self.largest) ** exponent * self.highest
        below = np.clip(np.floor(power), -self.highest, self.highest - 1)
        lower, upper = (self.level(below + i, exponent)[0] for i in (0, 1))
        return below + np.clip((weight - lower) / (upper - lower), 0.0, 1.0)
