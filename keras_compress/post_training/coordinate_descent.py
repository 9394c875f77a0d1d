"""Codes that no change of a single one improves."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np

from keras_compress.grids.quantized_matrix import QuantizedMatrix
from keras_compress.post_training._changed_problem import problem_gram
from keras_compress.post_training._grid_rows import nearest_levels, row_levels
from keras_compress.post_training._wrapping_solver import WrappingSolver, check_solver
from keras_compress.post_training.layer_problem import LayerProblem
from keras_compress.post_training.solver import Solver
from keras_reweight.core.validation import check_boolean, check_integer, check_number

_BLOCK = 64


@keras.saving.register_keras_serializable(package="keras_compress")
class CoordinateDescent(WrappingSolver):
    """Improve the codes of any solver one input at a time, until none changes.

    Use it after any solver at 2 to 4 bits, whatever its levels: even, powers or a codebook. With
    `H = 2 X^T X / n` (plus `damping`), `Q` the values so far and `W` the kernel, row `i` goes to
    the levels nearest to

        Q_i - [H (Q - W)]_i / H_ii,

    the exact minimum of the error of the outputs with all other rows as they are. So the error
    never rises, and every code can be reached, not only those next to the weight. With
    `asymmetric`, the outputs to reach are those of the float model, `X0 W`.

    Args:
        solver: `Solver` that gives the grid and the first codes, such as `GPTQ()`.
        sweeps: Integer >= 1, the most passes over the rows. Defaults to `4`.
        damping: Float >= 0, share of the mean of the diagonal of `H` that is added to it, which
            pulls to the kernel where data are few. Defaults to `0.01`.
        asymmetric: Boolean, whether errors of the layers before are to be corrected, too. Defaults
            to `False`.

    Returns:
        A `Solver` for `post_training.quantize`.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If a number is outside its range; in `solve`, if the statistics are missing or
            `solver` gives a matrix with a rotation, scales or outliers (put those around it).

    Example:

    ```python
    import numpy as np
    import keras_compress as kc

    generator = np.random.default_rng(0)
    x = generator.normal(size=(200, 16)) @ generator.normal(size=(16, 16))
    problem = kc.post_training.LayerProblem.from_inputs(generator.normal(size=(16, 8)), x, bits=3)
    rounding = kc.post_training.RoundToNearest()
    better = kc.post_training.CoordinateDescent(rounding).solve(problem)
    assert problem.error(better.values()) < problem.error(rounding.solve(problem).values())
    ```

    Reference:
        Nair and Suggala, "CDQuant: Accurate Post-training Weight Quantization of Large Pre-trained
        Models using Greedy Coordinate Descent", arXiv 2406.17542; Yvinec et al., "NUPES", arXiv
        2308.05600 (all codes, not only the two next to the weight).

    Deviations:
        CDQuant always takes the best of all coordinates next; here they come in turn. NUPES
        searches with an annealed soft assignment and gradients.

    Cost:
        A sweep costs about as much as `GPTQ`: `rows**2 * outputs` multiplications.
    """

    def __init__(
        self,
        solver: Solver,
        *,
        sweeps: int = 4,
        damping: float = 0.01,
        asymmetric: bool = False,
    ):
        check_solver(solver)
        check_integer("sweeps", sweeps, minimum=1)
        check_number("damping", damping, minimum=0.0)
        check_boolean("asymmetric", asymmetric)
        self.solver = solver
        self.sweeps = sweeps
        self.damping = damping
        self.asymmetric = asymmetric

    @property
    def own_needs(self) -> frozenset[str]:
        return frozenset({"gram", "cross"} if self.asymmetric else {"gram"})

    def solve(self, problem: LayerProblem) -> QuantizedMatrix:
        found = self.solver.solve(problem)
        for name in ("input_scale", "signs", "outliers"):
            if getattr(found, name) is not None:
                raise ValueError(
                    f"`solver`={self.solver!r} gives a matrix with `{name}`. Put it around "
                    "`CoordinateDescent`."
                )
        gram = np.array(problem_gram(problem), "float64")
        gram[np.diag_indices_from(gram)] += self.damping * np.mean(np.diag(gram))
        goal = gram @ problem.weight
        if self.asymmetric:
            goal += problem.required("cross").T @ problem.weight
        levels = row_levels(found.grid, problem.weight.shape)
        codes = descend(
            found.codes, found.grid.decode(found.codes), gram, goal, levels, self.sweeps
        )
        return dataclasses.replace(found, codes=codes)

    def get_config(self) -> dict:
        return {
            "solver": self.solver,
            "sweeps": self.sweeps,
            "damping": self.damping,
            "asymmetric": self.asymmetric,
        }


def descend(codes, values, gram, goal, levels, sweeps: int) -> np.ndarray:
    """Codes after at most `sweeps` passes that minimize `<Q, gram Q> - 2 <Q, goal>`."""
    codes, values = codes.copy(), np.asarray(values, "float64").copy()
    diagonal = np.diag(gram)
    slope = gram @ values - goal
    for _ in range(sweeps):
        changes = 0
        for begin in range(0, len(values), _BLOCK):
            block = slice(begin, min(begin + _BLOCK, len(values)))
            # Only the rows of the block must be up to date inside it.
            local, moves = slope[block].copy(), np.zeros(values[block].shape)
            for row in range(block.start, block.stop):
                if diagonal[row] <= 0.0:
                    continue
                candidates, names = levels(row)
                target = values[row] - local[row - begin] / diagonal[row]
                place = nearest_levels(candidates, target)[None]
                new = np.take_along_axis(candidates, place, 0)[0]
                moved = new - values[row]
                changed = np.flatnonzero(moved)
                if changed.size:
                    local[:, changed] += np.outer(gram[block, row], moved[changed])
                    moves[row - begin] = moved
                    values[row] = new
                    codes[row] = np.take_along_axis(names, place, 0)[0]
                    changes += changed.size
            slope += gram[:, block] @ moves
        if not changes:
            break
    return codes
