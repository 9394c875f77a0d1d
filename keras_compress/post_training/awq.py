"""Scale inputs by how large they are before rounding."""

from __future__ import annotations

import keras
import numpy as np

from keras_compress.grids.matrix_layout import to_kernel
from keras_compress.grids.quantized_matrix import QuantizedMatrix
from keras_compress.post_training._changed_problem import scaled_problem
from keras_compress.post_training._wrapping_solver import WrappingSolver, check_solver
from keras_compress.post_training.affine_ranges import affine_grid, affine_range, grid_of_ranges
from keras_compress.post_training.layer_problem import LayerProblem
from keras_compress.post_training.solver import Solver
from keras_reweight.core.validation import check_boolean, check_integer, check_number

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

    rounded and divided by `s` again; the `r` of the least error of the layer's outputs,
    `problem.error`, stays. `clip` then narrows the range of each output (or group) to 1, .95, ...
    .55 of its largest weight, whichever has the least error of this group's part of the output.

    `s` is stored with the codes as `input_scale`. `fold_input_scales` moves it into the layer
    before, where the graph of the model allows it.

    Args:
        solver: `Solver` that finds the codes of the scaled rows, such as `GPTQ()`; `None` rounds to
            the nearest level. Defaults to `None`.
        ratio: Float >= 0, a fixed `r`, so that layers with the same input get the same scale;
            `None` searches. Defaults to `None`.
        num_ratios: Integer >= 1, the `n` of the search. Defaults to `20`.
        clip: Boolean, whether ranges are searched, too; a `solver` chooses its own. Defaults to
            `True`.

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
        The official code measures some layers by the output of the block around them (attention for
        queries, keys and values, which share a scale), and does not clip queries and keys; here it
        is the layer's own output (override `LayerProblem.error` for another). Its ranges need not
        contain zero, and it rounds weights beyond a narrowed range as if they were at its end; here
        they take the nearest level. Errors come from the Gram matrix, that is from all calibration
        rows, where it clips by 512 of them.

    Cost:
        `num_ratios` roundings, each with a product of the size of the Gram matrix; with `clip`, ten
        more.
    """

    def __init__(
        self,
        solver: Solver | None = None,
        *,
        ratio: float | None = None,
        num_ratios: int = 20,
        clip: bool = True,
    ):
        check_solver(solver, optional=True)
        if ratio is not None:
            check_number("ratio", ratio, minimum=0.0)
        check_integer("num_ratios", num_ratios, minimum=1)
        check_boolean("clip", clip)
        self.solver = solver
        self.ratio = ratio
        self.num_ratios = num_ratios
        self.clip = clip

    @property
    def own_needs(self) -> frozenset[str]:
        return frozenset({"gram", "mean_abs"})

    def solve(self, problem: LayerProblem) -> QuantizedMatrix:
        mean_abs = problem.required("mean_abs")
        if self.ratio is None:
            scale = self._searched_scale(problem, mean_abs)
        else:
            scale = input_scale(mean_abs, self.ratio)
        # The precision in which it is stored.
        scale = scale.astype("float32")
        scaled = scaled_problem(problem, scale.astype("float64"))
        if self.solver is not None:
            found = self.solver.solve(scaled)
            return _with_scale(found, scale)
        grid = clipped_grid(scaled) if self.clip else _grid(scaled)
        return problem.stored(grid.encode(scaled.weight), grid, input_scale=scale)

    def _searched_scale(self, problem, mean_abs):
        best, kept = np.inf, input_scale(mean_abs, 0.0)
        for number in range(self.num_ratios):
            scale = input_scale(mean_abs, number / self.num_ratios)
            weight = problem.weight * scale[:, None]
            grid = _grid(problem, weight)
            values = grid.decode(grid.encode(weight)) / scale[:, None]
            error = problem.error(to_kernel(values, problem.shape, problem.channel_axes))
            if error < best:
                best, kept = error, scale
        return kept

    def get_config(self) -> dict:
        return {
            "solver": self.solver,
            "ratio": self.ratio,
            "num_ratios": self.num_ratios,
            "clip": self.clip,
        }


def input_scale(mean_abs: np.ndarray, ratio: float) -> np.ndarray:
    """`mean_abs**ratio`, centered so that its largest and smallest entry multiply to one."""
    scale = np.maximum(np.asarray(mean_abs, "float64") ** ratio, _SMALLEST)
    return scale / np.sqrt(scale.max() * scale.min())


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
