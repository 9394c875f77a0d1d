"""GPTQ that also makes up for what the quantized layers before have changed."""

from __future__ import annotations

from typing import ClassVar

import keras
import numpy as np

from keras_compress.post_training._sweep import Corrections
from keras_compress.post_training.gptq import GPTQ
from keras_reweight.core.validation import check_number


@keras.saving.register_keras_serializable(package="keras_compress")
class GPTAQ(GPTQ):
    """GPTQ whose target is the output of the float model, not of the layer on changed inputs.

    Use it at 2 and 3 bits, where the inputs of a layer are far from what they were. With the
    inputs `X0` of the layer in the float model, `X` in the model quantized so far,
    `D = 2 (X0 - X)^T X / n` and `P = alpha * triu(D U^T, 1) U`, the update of GPTQ becomes

        w_j -= U[i, j] e_i - P[i, j] w_i  for j > i

    With equal inputs `D` is zero, and the result that of `GPTQ`.

    Args:
        alpha: Float >= 0, how much of the correction is applied. Defaults to `0.25`.
        damping: Float > 0, as in `GPTQ`. Defaults to `0.01`.
        act_order: Boolean, as in `GPTQ`. Defaults to `False`.
        static_groups: Boolean, as in `GPTQ`. Defaults to `False`.
        clip: `"min_max"` or `"mse"`, as in `RoundToNearest`. Defaults to `"min_max"`.

    Returns:
        A `Solver` for `post_training.quantize`.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If a number is outside its range or a name unknown; in `solve`, if the Gram
            matrix is not finite or cannot be factored.

    Example:

    ```python
    import numpy as np
    import keras_compress as kc

    generator = np.random.default_rng(0)
    exact = generator.normal(size=(64, 8)) @ generator.normal(size=(8, 8))
    problem = kc.post_training.LayerProblem.from_inputs(
        generator.normal(size=(8, 4)), np.round(exact), bits=3, float_inputs=exact
    )
    found = kc.post_training.GPTAQ().solve(problem)
    assert problem.error(found.values()) < 0.1
    ```

    Reference:
        Li et al., "GPTAQ: Efficient Finetuning-Free Quantization for Asymmetric Calibration", ICML
        2025, arXiv 2504.02692; official code github Intelligent-Computing-Lab-Yale/GPTAQ.

    Deviations:
        The derivation has `alpha = 1`; 0.25 is the official code's. As there, rows beyond a block
        of 128 are updated with the rounded `w_i`.

    Cost:
        `GPTQ`, two more products of `(rows, rows)` matrices, and a forward pass of the float model
        for each pass of the quantized one.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"gram", "cross"})

    def __init__(
        self,
        alpha: float = 0.25,
        *,
        damping: float = 0.01,
        act_order: bool = False,
        static_groups: bool = False,
        clip: str = "min_max",
    ):
        check_number("alpha", alpha, minimum=0.0)
        super().__init__(damping, act_order=act_order, static_groups=static_groups, clip=clip)
        self.alpha = alpha

    def _corrections(self, problem, factor, order, dead) -> Corrections:
        cross = ordered_cross(problem, order, dead)
        return Corrections(correction_matrix(cross, factor, self.alpha), None, keep_weights=False)

    def get_config(self) -> dict:
        config = super().get_config()
        config.pop("axis")
        return {"alpha": self.alpha, **config}


def ordered_cross(problem, order: np.ndarray, dead: np.ndarray) -> np.ndarray:
    """`cross` in the order of the sweep, without the inputs that are always zero."""
    cross = np.where(dead[None, :], 0.0, problem.required("cross"))
    return cross[np.ix_(order, order)]


def correction_matrix(matrix: np.ndarray, factor: np.ndarray, alpha: float) -> np.ndarray:
    """`alpha * triu(M U^T, 1) U`, strictly upper triangular."""
    return alpha * np.triu(matrix @ factor.T, 1) @ factor
