"""Every weight to the nearest level."""

from __future__ import annotations

import keras

from keras_compress.grids.quantized_matrix import QuantizedMatrix
from keras_compress.post_training.affine_ranges import CLIPS, affine_grid
from keras_compress.post_training.layer_problem import LayerProblem
from keras_compress.post_training.solver import Solver
from keras_reweight.core.validation import check_choice

#: What a scale belongs to.
AXES = ("output", "input", "auto")


@keras.saving.register_keras_serializable(package="keras_compress")
class RoundToNearest(Solver):
    """Round every weight to the nearest level of its range: no data, no search.

    Good enough at 8 bits, often at 4, and what every other solver has to beat. For each output (or
    group), `s = (max - min) / (2**bits - 1)`, `z = round(-min / s)`, with a range that contains
    zero, and `q = s * (limit(round(w / s) + z, 0, 2**bits - 1) - z)`.

    Args:
        clip: `"min_max"` for the full range of the weights, `"mse"` for the narrower one with the
            least error of the weights. Defaults to `"min_max"`.
        axis: `"output"` for scales of each output (and group of inputs), `"input"` for scales of
            each input (and group of outputs), or `"auto"` for that of the two with the smaller
            error of the outputs, which needs data. Defaults to `"output"`.

    Returns:
        A `Solver` for `post_training.quantize`.

    Raises:
        ValueError: If `clip` or `axis` is unknown.

    Example:

    ```python
    import numpy as np
    import keras_compress as kc

    problem = kc.post_training.LayerProblem(np.array([[0.0], [1.0], [3.1]]), bits=2)
    found = kc.post_training.RoundToNearest().solve(problem)
    assert found.codes.tolist() == [[0], [1], [3]]
    ```

    Reference:
        Frantar et al., "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained
        Transformers", ICLR 2023, arXiv 2210.17323 (RTN and the grid); `axis="auto"`: Heo et al.,
        "Rethinking Channel Dimensions to Isolate Outliers for Low-bit Weight Quantization of Large
        Language Models" (AdaDim), ICLR 2024, arXiv 2309.15531.

    Deviations:
        AdaDim compares the two axes by the output of the enclosing block, here by that of the
        layer; its ranges need not contain zero.

    Cost:
        Elementwise operations on the weights, 80 times as many with `clip="mse"`.
    """

    def __init__(self, clip: str = "min_max", *, axis: str = "output"):
        check_choice("clip", clip, CLIPS)
        check_choice("axis", axis, AXES)
        self.clip = clip
        self.axis = axis

    @property
    def needs(self) -> frozenset[str]:  # type: ignore[override]
        return frozenset({"gram"} if self.axis == "auto" else ())

    def solve(self, problem: LayerProblem) -> QuantizedMatrix:
        axis = best_axis(problem, self.clip) if self.axis == "auto" else self.axis
        return rounded(problem, axis, self.clip)

    def get_config(self) -> dict:
        return {"clip": self.clip, "axis": self.axis}


def best_axis(problem: LayerProblem, clip: str) -> str:
    """The axis for scales, `"output"` or `"input"`, with the smaller error of the outputs."""
    problem.required("gram")
    errors = [problem.error(rounded(problem, axis, clip).values()) for axis in AXES[:2]]
    return AXES[1] if errors[1] < errors[0] else AXES[0]


def rounded(problem: LayerProblem, axis: str, clip: str) -> QuantizedMatrix:
    """Every weight to its nearest level."""
    grid = affine_grid(
        problem.weight,
        problem.bits,
        group_size=problem.group_size,
        group_axis=AXES.index(axis),
        symmetric=problem.symmetric,
        clip=clip,
    )
    return problem.stored(grid.encode(problem.weight), grid)
