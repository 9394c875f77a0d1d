"""Keep the few weights that matter most outside the grid."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np

from keras_compress.grids.matrix_layout import to_matrix
from keras_compress.grids.quantized_matrix import QuantizedMatrix
from keras_compress.post_training._changed_problem import problem_gram
from keras_compress.post_training._wrapping_solver import WrappingSolver, check_solver
from keras_compress.post_training.affine_ranges import affine_grid
from keras_compress.post_training.layer_problem import LayerProblem
from keras_compress.post_training.solver import Solver
from keras_reweight.core.validation import check_choice, check_integer, check_number

CRITERIA = ("gradient", "gradient_x_weight", "magnitude", "hessian", "random")
_NEEDS = {"gradient": "gradient", "gradient_x_weight": "gradient", "hessian": "gram"}
_DAMPING = 0.01


@keras.saving.register_keras_serializable(package="keras_compress")
class SparseOutliers(WrappingSolver):
    """Keep a small share of the weights in 16 bits, quantize the rest with any solver.

    At 2 and 3 bits, where single weights set the range of all others. The `round(ratio * size)`
    weights of the kernel with the highest score are stored with their positions; for `solver` they
    are zero, so that ranges are those of the rest. Scores:

    - `"gradient"`: `|dL/dw|` of the loss of the float model (`loss=` of `post_training.quantize`);
    - `"gradient_x_weight"`: `|w dL/dw|`; `"magnitude"`: `|w|`;
    - `"hessian"`: `(w - round(w))^2 / [H^-1]_jj`, what rounding costs with the inputs at hand;
    - `"random"`, to compare with.

    A weight outside takes 48 bits more: 1 % of them is half a bit a weight.

    Args:
        solver: `Solver` for the rest.
        criterion: `"gradient"`, `"gradient_x_weight"`, `"magnitude"`, `"hessian"` or `"random"`.
            Defaults to `"gradient"`.
        ratio: Float in `[0, 1)`, share of the weights. Defaults to `0.01`.
        seed: Integer >= 0, of `"random"`. Defaults to `0`.

    Returns:
        A `Solver` for `post_training.quantize`.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If `criterion` is unknown, a number is outside its range; in `solve`, if
            `solver` splits, too, or the statistics are missing.

    Example:

    ```python
    import numpy as np
    import keras_compress as kc

    weight = np.linspace(-1.0, 1.0, 12).reshape(4, 3)
    weight[2, 1] = 9.0
    problem = kc.post_training.LayerProblem(weight, bits=3)
    rounding = kc.post_training.RoundToNearest()
    split = kc.post_training.SparseOutliers(rounding, criterion="magnitude", ratio=0.1)
    found = split.solve(problem).values()
    assert found[2, 1] == 9.0
    assert problem.error(found) < problem.error(rounding.solve(problem).values())
    ```

    Reference:
        Shao et al., "GWQ: Gradient-Aware Weight Quantization for Large Language Models", arXiv
        2411.00850 (`"gradient"`); Dettmers et al., "SpQR", arXiv 2306.03078, equation 2
        (`"hessian"`).

    Deviations:
        There is no official code. Ties go to the weight of lower position, so that the number is
        exact. A solver that moves weights to make up for the errors of others (`GPTQ`) moves the
        outliers, too, where this lowers the error of the layer.

    Cost:
        A sort of the scores; the gradients take a backward pass over the labeled data.
    """

    def __init__(
        self, solver: Solver, *, criterion: str = "gradient", ratio: float = 0.01, seed: int = 0
    ):
        check_solver(solver)
        check_choice("criterion", criterion, CRITERIA)
        check_number("ratio", ratio, minimum=0.0, exclusive_maximum=1.0)
        check_integer("seed", seed, minimum=0)
        self.solver = solver
        self.criterion = criterion
        self.ratio = ratio
        self.seed = seed

    @property
    def own_needs(self) -> frozenset[str]:
        return frozenset({_NEEDS[self.criterion]} if self.criterion in _NEEDS else ())

    def solve(self, problem: LayerProblem) -> QuantizedMatrix:
        count = round(self.ratio * problem.weight.size)
        order = np.argsort(-self._scores(problem).ravel(), kind="stable")
        index = np.sort(order[:count])
        rest = problem.weight.copy()
        rest.ravel()[index] = 0.0
        found = self.solver.solve(dataclasses.replace(problem, weight=rest))
        if found.outliers is not None:
            raise ValueError(f"`solver`={self.solver!r} keeps outliers itself.")
        exact = problem.weight.ravel()[index]
        moved = exact + to_matrix(found.values(), found.channel_axes).ravel()[index]
        candidates = [
            dataclasses.replace(found, outliers=(index, values)) for values in (exact, moved)
        ]
        errors = [problem.error(candidate.values()) for candidate in candidates]
        return candidates[int(errors[1] < errors[0])]

    def _scores(self, problem):
        weight = problem.weight
        if self.criterion == "magnitude":
            return np.abs(weight)
        if self.criterion == "random":
            return np.random.default_rng([self.seed, weight.size]).random(weight.shape)
        if self.criterion == "hessian":
            gram = np.array(problem_gram(problem), "float64")
            mean = np.mean(np.diag(gram))
            gram[np.diag_indices_from(gram)] += _DAMPING * mean if mean else 1.0
            grid = affine_grid(
                weight, problem.bits, group_size=problem.group_size, symmetric=problem.symmetric
            )
            rounding = grid.decode(grid.encode(weight)) - weight
            return np.square(rounding) / np.diag(np.linalg.inv(gram))[:, None]
        gradient = np.abs(problem.required("gradient"))
        return gradient if self.criterion == "gradient" else gradient * np.abs(weight)

    def get_config(self) -> dict:
        return {
            "solver": self.solver,
            "criterion": self.criterion,
            "ratio": self.ratio,
            "seed": self.seed,
        }
