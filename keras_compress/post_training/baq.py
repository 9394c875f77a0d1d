"""GPTQ with as many levels for each input as its loss deserves."""

from __future__ import annotations

from typing import ClassVar

import keras
import numpy as np

from keras_compress.grids.levels_grid import LevelsGrid
from keras_compress.grids.quantized_matrix import QuantizedMatrix
from keras_compress.post_training._inverse_factor import damped_factor
from keras_compress.post_training._sweep import sweep
from keras_compress.post_training.affine_ranges import AffineRange
from keras_compress.post_training.layer_problem import LayerProblem
from keras_compress.post_training.solver import Solver
from keras_reweight.core.validation import check_boolean, check_number

# Keeps the geometric mean of losses that may be zero away from zero, as in the official code.
_SMALLEST_LOSS = 1e-8
_MOST_LEVELS = 256


@keras.saving.register_keras_serializable(package="keras_compress")
class BAQ(Solver):
    """GPTQ twice: losses of the inputs first, then levels so that all inputs lose the same.

    Use it at 3 bits and above when a few inputs dominate the loss of a layer. A first pass of GPTQ
    at `R` bits for everybody measures the loss `L_i` of every input `i`; as a loss falls like
    `2**(-theta * bits)`, the second pass gives input `i`

        levels_i = round(max(1, (L_i / geomean(L))**(1 / theta) * 2**R))

    levels, on average `R` bits. All inputs share the range of the original weights of an output.
    Inputs with one level are left out. `quantize(..., bits=R)` gives `R`; there are no groups.

    Args:
        damping: Float > 0, as in `GPTQ`. Defaults to `0.01`.
        theta: Float > 0, exponent of the loss; 2 in theory. Defaults to `1.95`.
        integer_bits: Boolean, powers of two as numbers of levels, which waste nothing when they are
            packed: bits go one by one to the input that then has the largest loss, until there are
            `R` on average. Defaults to `False`.

    Returns:
        A `Solver` for `post_training.quantize`.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If a number is outside its range; in `solve`, for groups or symmetric grids, or
            if the Gram matrix is not finite or cannot be factored.

    Example:

    ```python
    import numpy as np
    import keras_compress as kc

    generator = np.random.default_rng(0)
    inputs = generator.normal(size=(64, 8)) * np.geomspace(1.0, 20.0, 8)
    problem = kc.post_training.LayerProblem.from_inputs(
        generator.normal(size=(8, 4)), inputs, bits=3
    )
    found = kc.post_training.BAQ().solve(problem)
    assert found.grid.levels[-1] > found.grid.levels[0]
    ```

    Reference:
        "BAQ: Efficient Bit Allocation Quantization for Large Language Models", arXiv 2506.05664;
        official code github CSU-ModelCompression/BAQ.

    Deviations:
        At most 256 levels, and as many as all others for an input without loss, which the official
        code drops. `integer_bits` is ours.

    Cost:
        Two sweeps of `GPTQ`. Without `integer_bits` a code of `L` levels is stored in
        `ceil(log2(L))` bits.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"gram"})

    def __init__(self, damping: float = 0.01, *, theta: float = 1.95, integer_bits: bool = False):
        check_number("damping", damping, exclusive_minimum=0.0)
        check_number("theta", theta, exclusive_minimum=0.0)
        check_boolean("integer_bits", integer_bits)
        self.damping = damping
        self.theta = theta
        self.integer_bits = integer_bits

    def solve(self, problem: LayerProblem) -> QuantizedMatrix:
        if problem.group_size is not None or problem.symmetric:
            raise ValueError(
                f"BAQ has one range an output and no groups: `group_size`={problem.group_size!r} "
                f"must be None and `symmetric`={problem.symmetric!r} False."
            )
        gram = np.array(problem.required("gram"), "float64")
        dead = np.diag(gram) == 0.0
        gram[dead, dead] = 1.0
        weight = np.where(dead[:, None], 0.0, problem.weight)
        factor = damped_factor(gram, self.damping, problem.path)
        low, high = np.minimum(weight.min(axis=0), 0.0), np.maximum(weight.max(axis=0), 0.0)
        empty = low == high
        low, high = (
            np.where(empty, value, found).astype("float32").astype("float64")
            for value, found in ((-1.0, low), (1.0, high))
        )
        uniform = np.full(problem.rows, 2**problem.bits)
        losses = sweep(weight, factor, _RangesOfLevels(uniform, low, high)).losses
        levels = self.levels(losses, problem.bits)
        levels[~weight.any(axis=1)] = 1
        ranges = _RangesOfLevels(levels, low, high)
        return problem.stored(sweep(weight, factor, ranges).codes, ranges.grid())

    def levels(self, losses: np.ndarray, bits: int) -> np.ndarray:
        """Number of levels of each input from the losses at `bits` bits: integers `(rows,)`."""
        if self.integer_bits:
            return 2 ** _greedy_bits(losses, bits, self.theta)
        typical = np.exp(np.mean(np.log(losses + _SMALLEST_LOSS)))
        wanted = (losses / typical) ** (1.0 / self.theta) * 2.0**bits
        # A row can be on the grid by chance; that is no reason to drop it.
        wanted = np.where(losses > 0.0, wanted, 2.0**bits)
        return np.clip(np.rint(wanted), 1, _MOST_LEVELS).astype("int64")

    def get_config(self) -> dict:
        return {
            "damping": self.damping,
            "theta": self.theta,
            "integer_bits": self.integer_bits,
        }


class _RangesOfLevels:
    group_size = 1

    def __init__(self, levels: np.ndarray, low: np.ndarray, high: np.ndarray):
        self._levels, self._low, self._high = levels, low, high

    def at(self, position: int, rest: np.ndarray) -> AffineRange:
        highest = int(self._levels[position]) - 1
        if not highest:
            return AffineRange(np.ones_like(self._low), np.zeros_like(self._low), 0)
        width = self._high - self._low
        return AffineRange(width / highest, np.rint(-self._low * highest / width), highest)

    def grid(self) -> LevelsGrid:
        longest = max(1, int(np.ceil(np.log2(self._levels.max()))))
        return LevelsGrid(longest, levels=self._levels, low=self._low, high=self._high)


def _greedy_bits(losses, bits, theta):
    """Integers with mean `bits`, 0 to 8: the next bit to where the loss is largest."""
    found = np.zeros(len(losses), "int64")
    now = np.array(losses, "float64")
    for _ in range(bits * len(losses)):
        row = int(np.argmax(np.where(found < 8, now, -1.0)))
        found[row] += 1
        now[row] *= 2.0**-theta
    return found
