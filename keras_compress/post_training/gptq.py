"""Rounding with feedback: later inputs make up for the error of earlier ones."""

from __future__ import annotations

from typing import ClassVar

import keras
import numpy as np

from keras_compress.grids.quantized_matrix import QuantizedMatrix
from keras_compress.post_training._inverse_factor import damped_factor
from keras_compress.post_training._row_ranges import RangesOfInputs, RangesOfOutputs
from keras_compress.post_training._sweep import Corrections, sweep
from keras_compress.post_training.affine_ranges import CLIPS
from keras_compress.post_training.layer_problem import LayerProblem
from keras_compress.post_training.round_to_nearest import AXES, best_axis
from keras_compress.post_training.solver import Solver
from keras_reweight.core.validation import check_boolean, check_choice, check_number


@keras.saving.register_keras_serializable(package="keras_compress")
class GPTQ(Solver):
    """Round one input after the other, and correct the weights of the inputs that follow.

    The usual choice at 4 and 3 bits: a few seconds a layer, much better outputs than rounding to
    nearest. With `H = 2 X^T X / n` of the inputs and `U` the upper Cholesky factor of
    `inv(H + damping * mean(diag H) I)`, for every input `i` in order

        q_i = nearest(w_i),  e_i = (w_i - q_i) / U[i, i],  w_j -= U[i, j] e_i  for j > i

    which is the least-squares answer to an error that cannot be undone any more. Scales and zero
    points are those of `RoundToNearest`; a group takes its own from the weights as they are when
    its first input is reached. Weights of inputs that are zero in all calibration data become zero.

    Args:
        damping: Float > 0, share of the mean diagonal that is added to it; added again where the
            factor does not exist. Defaults to `0.01`.
        act_order: Boolean, inputs with large activations first. Groups then take their scales from
            the weights before the start. Defaults to `False`.
        static_groups: Boolean, scales of groups from the weights before the start. Defaults to
            `False`.
        axis: `"output"` for scales of each output (and group of inputs), `"input"` for scales of
            each input (and group of outputs), which isolates inputs with large activations, or
            `"auto"` for that of the two where rounding to nearest disturbs the outputs less.
            Defaults to `"output"`.
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
    inputs = generator.normal(size=(200, 24)) @ generator.normal(size=(24, 24))
    problem = kc.post_training.LayerProblem.from_inputs(
        generator.normal(size=(24, 16)), inputs, bits=3
    )
    found = kc.post_training.GPTQ().solve(problem)
    nearest = kc.post_training.RoundToNearest().solve(problem)
    assert problem.error(found.values()) < problem.error(nearest.values())
    ```

    Reference:
        Frantar et al., "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained
        Transformers", ICLR 2023, arXiv 2210.17323; `axis="auto"`: Heo et al., "Rethinking Channel
        Dimensions to Isolate Outliers for Low-bit Weight Quantization of Large Language Models"
        (AdaDim), ICLR 2024, arXiv 2309.15531.

    Deviations:
        Groups inside a block of rows see weights that are corrected up to there, where the official
        code takes them as they were before the block. AdaDim compares the two axes by the output of
        the enclosing block, here by that of the layer; its ranges need not contain zero.

    Cost:
        On the host in float64: about `rows**3 + rows**2 * outputs` multiplications, and two
        matrices of `(rows, rows)`.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"gram"})

    def __init__(
        self,
        damping: float = 0.01,
        *,
        act_order: bool = False,
        static_groups: bool = False,
        axis: str = "output",
        clip: str = "min_max",
    ):
        check_number("damping", damping, exclusive_minimum=0.0)
        check_boolean("act_order", act_order)
        check_boolean("static_groups", static_groups)
        check_choice("axis", axis, AXES)
        check_choice("clip", clip, CLIPS)
        self.damping = damping
        self.act_order = act_order
        self.static_groups = static_groups
        self.axis = axis
        self.clip = clip

    def solve(self, problem: LayerProblem) -> QuantizedMatrix:
        gram = np.array(problem.required("gram"), "float64")
        diagonal = np.diag(gram)
        dead = diagonal == 0.0
        gram[dead, dead] = 1.0
        weight = np.where(dead[:, None], 0.0, problem.weight)
        order = np.arange(problem.rows)
        if self.act_order:
            order = np.argsort(-np.diag(gram), kind="stable")
        factor = damped_factor(gram[np.ix_(order, order)], self.damping, problem.path)
        axis = best_axis(problem, self.clip) if self.axis == "auto" else self.axis
        ranges: RangesOfInputs | RangesOfOutputs
        if axis == "input":
            ranges = RangesOfInputs(problem, self.clip, order)
        else:
            static = self.static_groups or self.act_order
            ranges = RangesOfOutputs(problem, weight, self.clip, order if static else None)
        corrections = self._corrections(problem, factor, order, dead)
        swept = sweep(weight[order], factor, ranges, corrections)
        codes = np.empty_like(swept.codes)
        codes[order] = swept.codes
        return problem.stored(codes, ranges.grid())

    def _corrections(self, problem, factor, order, dead) -> Corrections | None:
        """What is added to the plain update."""
        return None

    def get_config(self) -> dict:
        return {
            "damping": self.damping,
            "act_order": self.act_order,
            "static_groups": self.static_groups,
            "axis": self.axis,
            "clip": self.clip,
        }
