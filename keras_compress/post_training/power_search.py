"""Levels that are evenly spaced after a power, with the best exponent."""

from __future__ import annotations

import keras
import numpy as np

from keras_compress.grids.power_grid import PowerGrid
from keras_compress.grids.quantized_matrix import QuantizedMatrix
from keras_compress.post_training._changed_problem import problem_gram
from keras_compress.post_training.layer_problem import LayerProblem
from keras_compress.post_training.solver import Solver
from keras_reweight.core.validation import check_boolean, check_choice, check_number

_STEP = 0.025
# Where exponents give the same levels, errors differ by rounding only.
_BETTER = 1.0 - 1e-6


@keras.saving.register_keras_serializable(package="keras_compress")
class PowerSearch(Solver):
    """Round powers of the weights, `sign(w) |w|**a`, with the exponent of the least error.

    At 3 and 4 bits with a symmetric grid, for weights with many values near zero: with `a < 1`
    steps are finer there. With `p = sign(w) |w|**a` and `s = max|p| / (2**(bits - 1) - 1)` of each
    output,

        q = sign(k) |k s|**(1 / a),  k = round(p / s).

    Exponents from `lowest` to `highest` in steps of 0.025 are tried, and 1, so the error is never
    above that of the even symmetric grid. At 2 bits all exponents give the same levels.
    `CoordinateDescent(PowerSearch())` then chooses among all codes by the outputs of the layer.

    Args:
        shared: Boolean, whether one exponent serves the whole kernel instead of one an output.
            Defaults to `True`.
        objective: `"weights"` for the squared error of the weights, which needs no data, or
            `"outputs"` for that of the layer's outputs. Defaults to `"weights"`.
        lowest: Float > 0, smallest exponent. Defaults to `0.2`.
        highest: Float >= `lowest`, largest exponent. Defaults to `1.2`.

    Returns:
        A `Solver` for `post_training.quantize`; it gives a symmetric `PowerGrid`.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If an argument is outside its range; in `solve`, if `bits` is 1, or groups of
            inputs are asked for, which powers do not have.

    Example:

    ```python
    import numpy as np
    import keras_compress as kc

    weight = np.random.default_rng(0).laplace(size=(64, 8))
    problem = kc.post_training.LayerProblem(weight, bits=4)
    found = kc.post_training.PowerSearch().solve(problem)
    even = kc.post_training.PowerSearch(lowest=1.0, highest=1.0).solve(problem)
    assert found.grid.exponent < 1.0
    assert problem.error(found.values()) < problem.error(even.values())
    ```

    Reference:
        Yvinec et al., "NUPES: Non-Uniform Post-Training Quantization via Power Exponent Search",
        arXiv 2308.05600; Yvinec et al., "PowerQuant: Automorphism Search for Non-Uniform
        Quantization", ICLR 2023, arXiv 2301.09858.

    Deviations:
        PowerQuant searches one exponent for the whole network with the Nelder-Mead method; NUPES
        learns one a layer by gradients. Products in the domain of powers are not offered.

    Cost:
        41 roundings of the kernel; with `"outputs"`, as many products with the Gram matrix.
    """

    def __init__(
        self,
        shared: bool = True,
        *,
        objective: str = "weights",
        lowest: float = 0.2,
        highest: float = 1.2,
    ):
        check_boolean("shared", shared)
        check_choice("objective", objective, ["weights", "outputs"])
        check_number("lowest", lowest, exclusive_minimum=0.0)
        check_number("highest", highest, minimum=lowest)
        self.shared = shared
        self.objective = objective
        self.lowest = lowest
        self.highest = highest

    @property
    def needs(self) -> frozenset[str]:  # type: ignore[override]
        """The statistics to collect."""
        return frozenset({"gram"} if self.objective == "outputs" else ())

    def solve(self, problem: LayerProblem) -> QuantizedMatrix:
        if problem.bits < 2:
            raise ValueError(f"`bits` must be at least 2 for powers, got {problem.bits}.")
        if problem.group_size is not None:
            raise ValueError(
                f"`group_size`={problem.group_size}: powers have one scale an output, so it must "
                "be None."
            )
        weight = problem.weight
        gram = problem_gram(problem) if self.objective == "outputs" else None
        best = np.full(weight.shape[1], np.inf)
        exponents = np.ones(weight.shape[1])
        for exponent in self._exponents():
            grid = power_grid(weight, problem.bits, exponent)
            away = grid.decode(grid.encode(weight)) - weight
            error = np.sum(away * (away if gram is None else gram @ away), axis=0)
            if self.shared:
                error = np.full_like(error, error.sum())
            better = error < _BETTER * best
            best, exponents = np.where(better, error, best), np.where(better, exponent, exponents)
        grid = power_grid(weight, problem.bits, exponents[0] if self.shared else exponents[None])
        return problem.stored(grid.encode(weight), grid)

    def _exponents(self):
        """1 first, so that it wins a tie."""
        count = round((self.highest - self.lowest) / _STEP) + 1
        return [1.0, *np.linspace(self.lowest, self.highest, count).tolist()]

    def get_config(self) -> dict:
        return {
            "shared": self.shared,
            "objective": self.objective,
            "lowest": self.lowest,
            "highest": self.highest,
        }


def power_grid(weight: np.ndarray, bits: int, exponent) -> PowerGrid:
    """The grid whose largest level of each output is its largest weight."""
    largest = np.abs(weight).max(axis=0, keepdims=True)
    largest = np.where(largest > 0.0, largest, 1.0)
    scale = largest ** np.asarray(exponent) / (2 ** (bits - 1) - 1)
    return PowerGrid(bits, scale=scale.astype("float32"), exponent=np.asarray(exponent, "float32"))
