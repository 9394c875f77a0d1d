"""Scale inputs by how large they are before rounding."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np

from keras_compress.grids.matrix_layout import to_kernel
from keras_compress.grids.quantized_matrix import QuantizedMatrix
from keras_compress.post_training._block import Block
from keras_compress.post_training._changed_problem import scaled_problem
from keras_compress.post_training._wrapping_solver import WrappingSolver, check_solver
from keras_compress.post_training.affine_ranges import affine_grid, affine_range, grid_of_ranges
from keras_compress.post_training.layer_problem import LayerProblem
from keras_compress.post_training.solver import Solver
from keras_reweight.core.validation import (
    check_boolean,
    check_choice,
    check_integer,
    check_number,
)

# Scales below this would be divisions by nothing: an input that is always zero.
_SMALLEST = 1e-4
# Clipping: ranges down to half the largest weight, in steps of one twentieth.
_CLIP_STEPS, _CLIP_COUNT = 20, 10


@keras.saving.register_keras_serializable(package="keras_compress")
class AWQ(WrappingSolver):
    """Give weights of large inputs finer steps: scale them up before rounding.

    For models with a few inputs far larger than the rest, as in transformers; where inputs are
    alike it equals `RoundToNearest`. With `a` the mean of `|x|` of each input, the rows of the
    kernel are multiplied by

        s = a**r / sqrt(max(a**r) * min(a**r)),  r in {0, 1/n, ..., (n - 1)/n}

    rounded and divided by `s` again; the `r` of the least error stays. `clip` then narrows the
    range of each output (or group) to 1, .95, ... .55 of its largest weight, whichever has the
    least error of this group's part of the output.

    In a model, layers that read the same inputs share `s`, and the error is that of the output of
    the smallest layer around them: of attention for queries, keys and values (also for queries
    alone), of a gated feed-forward layer or a decoder for its first kernels. Layers in no such
    block take the sum of their own errors, as does a layer of its own. `s` is stored with the codes
    as `input_scale`; `fold_input_scales` moves it into the layer before, where the graph of the
    model allows it.

    Args:
        solver: `Solver` that finds the codes of the scaled rows, such as `GPTQ()`; `None` rounds to
            the nearest level. Defaults to `None`.
        ratio: Float >= 0, a fixed `r`, so that layers with the same input get the same scale;
            `None` searches. Defaults to `None`.
        num_ratios: Integer >= 1, the `n` of the search. Defaults to `20`.
        clip: Boolean, whether ranges are searched, too, but for queries and keys, whose product
            reacts to it; a `solver` chooses its own. Defaults to `True`.
        objective: `"block"`, or `"layer"` for a scale of its own for each layer, from the error of
            its outputs. Defaults to `"block"`.

    Returns:
        A `Solver` for `post_training.quantize`.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If a number is outside its range; in `solve`, if the statistics are missing.

    Example:

    ```python
    import numpy as np
    import keras_compress as kc

    generator = np.random.default_rng(0)
    x = generator.normal(size=(200, 16)) * np.where(np.arange(16) < 2, 20.0, 1.0)
    weight = generator.normal(size=(16, 8))
    problem = kc.post_training.LayerProblem.from_inputs(weight, x, bits=3)
    nearest = kc.post_training.RoundToNearest().solve(problem)
    scaled = kc.post_training.AWQ().solve(problem)
    assert problem.error(scaled.values()) < 0.5 * problem.error(nearest.values())
    ```

    Reference:
        Lin et al., "AWQ: Activation-aware Weight Quantization for LLM Compression and
        Acceleration", MLSys 2024, arXiv 2306.00978, equation 5; official code
        github.com/mit-han-lab/llm-awq.

    Deviations:
        The official code finds all scales in the float model; here inputs come from the layers
        quantized so far. Its ranges need not contain zero, and it rounds weights beyond a narrowed
        range as if they were at its end; here they take the nearest level. Errors of layers come
        from the Gram matrix, that is from all calibration rows, where it clips by 512 of them;
        those of blocks from the first 2048 positions. Inside another solver, such as `Rotated`,
        every layer is on its own.

    Cost:
        `num_ratios` roundings, each with a product of the size of the Gram matrix or a forward pass
        of the block; with `clip`, ten more products.
    """

    def __init__(
        self,
        solver: Solver | None = None,
        *,
        ratio: float | None = None,
        num_ratios: int = 20,
        clip: bool = True,
        objective: str = "block",
    ):
        check_solver(solver, optional=True)
        if ratio is not None:
            check_number("ratio", ratio, minimum=0.0)
        check_integer("num_ratios", num_ratios, minimum=1)
        check_boolean("clip", clip)
        check_choice("objective", objective, ["block", "layer"])
        self.solver = solver
        self.ratio = ratio
        self.num_ratios = num_ratios
        self.clip = clip
        self.objective = objective

    @property
    def own_needs(self) -> frozenset[str]:
        together = self.ratio is None and self.objective == "block"
        return frozenset({"gram", "mean_abs"} | ({"block"} if together else set()))

    def solve(self, problem: LayerProblem) -> QuantizedMatrix:
        return self.solve_together([problem])[0]

    def solve_together(
        self, problems: Sequence[LayerProblem], block: Block | None = None
    ) -> list[QuantizedMatrix]:
        mean_abs = problems[0].required("mean_abs")
        if self.ratio is None:
            scale = self._searched_scale(problems, mean_abs, block)
        else:
            scale = input_scale(mean_abs, self.ratio)
        # The precision in which it is stored.
        scale = scale.astype("float32")
        roles = [None] * len(problems) if block is None else block.roles
        return [
            self._solved(problem, scale, self.clip and role not in ("query", "key"))
            for problem, role in zip(problems, roles, strict=True)
        ]

    def _solved(self, problem, scale, clip):
        scaled = scaled_problem(problem, scale.astype("float64"))
        if self.solver is not None:
            return _with_scale(self.solver.solve(scaled), scale)
        grid = clipped_grid(scaled) if clip else _grid(scaled)
        return problem.stored(grid.encode(scaled.weight), grid, input_scale=scale)

    def _searched_scale(self, problems, mean_abs, block):
        best, kept = np.inf, input_scale(mean_abs, 0.0)
        for number in range(self.num_ratios):
            scale = input_scale(mean_abs, number / self.num_ratios)
            kernels = [_rounded(problem, scale) for problem in problems]
            if block is not None:
                error = block.error(kernels)
            else:
                pairs = zip(problems, kernels, strict=True)
                error = sum(problem.squared_errors(kernel)[0] for problem, kernel in pairs)
            if error < best:
                best, kept = error, scale
        return kept

    def get_config(self) -> dict:
        return {
            "solver": self.solver,
            "ratio": self.ratio,
            "num_ratios": self.num_ratios,
            "clip": self.clip,
            "objective": self.objective,
        }


def input_scale(mean_abs: np.ndarray, ratio: float) -> np.ndarray:
    """`mean_abs**ratio`, centered so that its largest and smallest entry multiply to one."""
    scale = np.maximum(np.asarray(mean_abs, "float64") ** ratio, _SMALLEST)
    return scale / np.sqrt(scale.max() * scale.min())


def _rounded(problem, scale):
    """The kernel after rounding its scaled rows."""
    weight = problem.weight * scale[:, None]
    grid = _grid(problem, weight)
    values = grid.decode(grid.encode(weight)) / scale[:, None]
    return to_kernel(values, problem.shape, problem.channel_axes)


def clipped_grid(problem: LayerProblem):
    """The grid with the range of least output error for each output and group."""
    weight, gram = problem.weight, problem.required("gram")
    size = problem.group_size or problem.rows
    ranges = []
    for begin in range(0, problem.rows, size):
        group = slice(begin, begin + size)
        part, products = weight[group], gram[group, group]
        largest = np.abs(part).max(axis=0)
        best, limits = np.full(part.shape[1], np.inf), largest
        for step in range(_CLIP_COUNT):
            limit = largest * (1.0 - step / _CLIP_STEPS)
            clipped = np.clip(part, -limit, limit)
            found = affine_range(clipped, problem.bits, symmetric=problem.symmetric)
            difference = found.nearest(part) - part
            error = np.einsum("io,io->o", difference, products @ difference)
            better = error < best
            best, limits = np.where(better, error, best), np.where(better, limit, limits)
        clipped = np.clip(part, -limits, limits)
        ranges.append(affine_range(clipped, problem.bits, symmetric=problem.symmetric))
    return grid_of_ranges(ranges, problem.bits, group_size=problem.group_size)


def _grid(problem, weight=None):
    weight = problem.weight if weight is None else weight
    return affine_grid(
        weight, problem.bits, group_size=problem.group_size, symmetric=problem.symmetric
    )


def _with_scale(found, scale):
    """The solution of the scaled problem; outliers are stored as they are in the end."""
    outliers = found.outliers
    if outliers is not None:
        rows = np.asarray(outliers.positions) // found.codes.shape[1]
        outliers = (outliers.positions, outliers.values.astype("float32") / scale[rows])
    if found.input_scale is not None:
        scale = scale * found.input_scale
    return QuantizedMatrix(
        found.codes,
        found.grid,
        found.shape,
        found.channel_axes,
        input_scale=scale,
        signs=found.signs,
        outliers=outliers,
    )
