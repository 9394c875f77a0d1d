"""Turn the inputs of a layer so that none of them stands out."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np

from keras_compress.grids.quantized_matrix import QuantizedMatrix
from keras_compress.post_training._changed_problem import rotated_problem
from keras_compress.post_training._wrapping_solver import WrappingSolver, check_solver
from keras_compress.post_training.layer_problem import LayerProblem
from keras_compress.post_training.solver import Solver
from keras_reweight.core.validation import check_integer


@keras.saving.register_keras_serializable(package="keras_compress")
class Rotated(WrappingSolver):
    """Quantize a kernel after a random Hadamard rotation of its inputs, and store it rotated.

    For layers with a few large inputs: a rotation spreads them over all inputs, after which `GPTQ`
    finds good codes at 3 and 2 bits. With `R = diag(signs) H / sqrt(rows)`, `H` Hadamard's matrix
    of 1 and -1 and random `signs`, `x W = (x R) (R^T W)`: the codes are those of `R^T W` for the
    inputs `x R`. Only the signs are stored, one bit an input. The model computes with the values
    turned back; a runtime may turn the inputs instead.

    Where the number of inputs is no power of two, equal blocks of a power of two are turned one by
    one; with an odd number nothing is turned but signs. Not with solvers that scale the inputs, so
    put `AWQ` around it instead: `AWQ(Rotated(...))`.

    Args:
        solver: `Solver` that finds the codes of the rotated kernel, such as `GPTQ()`.
        seed: Integer >= 0, of the signs; every layer of one size has the same. Defaults to `0`.

    Returns:
        A `Solver` for `post_training.quantize`.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If `seed` is negative; in `solve`, if `solver` scales, rotates or splits.

    Example:

    ```python
    import numpy as np
    import keras_compress as kc

    generator = np.random.default_rng(0)
    x = generator.normal(size=(200, 32)) * np.where(np.arange(32) < 2, 20.0, 1.0)
    weight = generator.normal(size=(32, 8))
    problem = kc.post_training.LayerProblem.from_inputs(weight, x, bits=3)
    plain = kc.post_training.GPTQ().solve(problem)
    rotated = kc.post_training.Rotated(kc.post_training.GPTQ()).solve(problem)
    assert problem.error(rotated.values()) < 0.5 * problem.error(plain.values())
    ```

    Reference:
        Sung et al., "RSQ: Learning from Important Tokens Leads to Better Quantized LLMs", arXiv
        2503.01820 (rotate); Ashkboos et al., "QuaRot: Outlier-Free 4-Bit Inference in Rotated
        LLMs", NeurIPS 2024, arXiv 2404.00456.

    Deviations:
        These turn the residual stream of a whole transformer once, at no cost in use; here each
        layer is turned by itself, so any model will do, and the stored form needs one transform of
        the inputs (or of the kernel, once).

    Cost:
        Fast transforms of the kernel and of both sides of the Gram matrix, then that of `solver`.
    """

    def __init__(self, solver: Solver, *, seed: int = 0):
        check_solver(solver)
        check_integer("seed", seed, minimum=0)
        self.solver = solver
        self.seed = seed

    def solve(self, problem: LayerProblem) -> QuantizedMatrix:
        signs = random_signs(problem.rows, self.seed)
        found = self.solver.solve(rotated_problem(problem, signs))
        for name in ("input_scale", "signs", "outliers"):
            if getattr(found, name) is not None:
                raise ValueError(
                    f"`solver`={self.solver!r} gives a matrix with `{name}`, which comes after the "
                    "rotation in the stored form. Put it around `Rotated`."
                )
        return dataclasses.replace(found, signs=signs.astype("int8"))

    def get_config(self) -> dict:
        return {"solver": self.solver, "seed": self.seed}


def random_signs(rows: int, seed: int) -> np.ndarray:
    """Float64 vector of 1 and -1."""
    return np.where(np.random.default_rng([seed, rows]).random(rows) < 0.5, -1.0, 1.0)
