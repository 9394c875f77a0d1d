"""The run of post-training quantization over the layers of a model."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_compress.grids.matrix_layout import to_matrix
from keras_compress.grids.quantized_matrix import QuantizedMatrix
from keras_compress.post_training._block import Block, find_block, record_block
from keras_compress.post_training._finished_layers import FinishedLayers
from keras_compress.post_training._join import join_parts
from keras_compress.post_training._row_statistics import RowStatistics
from keras_compress.post_training._stages import Stage, Stream, collect, stages_of
from keras_compress.post_training._targets import Target, host_value, weight_of
from keras_compress.post_training._token_weights import token_weigher
from keras_compress.post_training.layer_problem import LayerProblem
from keras_compress.post_training.post_training_report import QuantizedLayerLine
from keras_compress.post_training.round_to_nearest import RoundToNearest
from keras_compress.post_training.solver import Solver
from keras_reweight.core.selection import all_layers


class LayerByLayer:
    """Quantizes the targets in `changed`, in the order of its forward pass.

    `changed` is a copy of `model`, or `model` itself, which then gets its float weights back for
    the time of passes in float.
    """

    def __init__(
        self,
        model: keras.Model,
        changed: keras.Model,
        targets: Sequence[Target],
        solver: Solver,
        group_size: int | None,
        symmetric: bool,
        gradients: Sequence[np.ndarray] | None,
    ):
        twins = zip(all_layers(model), all_layers(changed), strict=True)
        twin_of = {id(own): twin for own, twin in twins}
        both = bool(solver.needs & {"cross", "outputs"})
        self._models = [changed, model] if both else [changed]
        self._before: dict[int, np.ndarray] | None = {} if both and changed is model else None
        self._targets, self._solver = targets, solver
        self._changed = [twin_of[id(target.layer)] for target in targets]
        self._grid: dict[str, Any] = {"group_size": group_size, "symmetric": symmetric}
        self._gradients = gradients
        self.matrices: dict[str, QuantizedMatrix] = {}
        self.not_called: dict[str, str] = {}

    def __call__(
        self,
        data: Any,
        example: Any,
        batch_size: int,
        finished: FinishedLayers,
        token_weights: Any,
        verbose: int,
    ) -> list[QuantizedLayerLine]:
        """Quantize all layers; the lines of the report."""
        lines = []
        progress = keras.utils.Progbar(len(self._targets), verbose=verbose, unit_name="layer")
        weigh = token_weigher(token_weights, self._models[0], self._changed)
        for stage in self._stages(example):
            paths = {number: self._targets[number].path for number in stage.numbers}
            done = {number: finished.load(number, path) for number, path in paths.items()}
            rows: dict[int, RowStatistics] = {}
            if stage.calls and None in done.values():
                rows = self._collect(stage, data, batch_size, weigh)
            for numbers in self._together(stage):
                found = [one for number in numbers if (one := done[number]) is not None]
                if len(found) < len(numbers):
                    block = self._block(numbers, data, batch_size) if stage.calls else None
                    found = self._solve(numbers, rows, block)
                for number, (matrix, line) in zip(numbers, found, strict=True):
                    if done[number] is None:
                        finished.save(number, paths[number], matrix, line)
                    self._write(number, matrix)
                    bits = self._targets[number].bits
                    lines.append(QuantizedLayerLine(paths[number], bits, **line))
                    progress.update(len(lines))
        return lines

    def _stages(self, example) -> list[Stage]:
        """Layers without inputs come first, as they change those of all others."""
        free = [n for n, target in enumerate(self._targets) if not target.has_inputs]
        others = [n for n, target in enumerate(self._targets) if target.has_inputs]
        stages = [Stage([number]) for number in free]
        if example is None:
            return stages + [Stage([number]) for number in others]
        called = stages_of(self._models[0], self._changed, others, example) if others else []
        reached = {number for stage in called for number in stage.numbers}
        self.not_called = {
            self._targets[number].path: "not called" for number in others if number not in reached
        }
        return stages + called

    def _collect(self, stage, data, batch_size, weigh):
        layers = [self._changed, [target.layer for target in self._targets]][: len(self._models)]
        contexts = [contextlib.nullcontext, self._float_weights][: len(self._models)]

        def make_statistics():
            return RowStatistics(frozenset(self._solver.needs), self._solver.max_samples)

        streams = [Stream(*parts) for parts in zip(self._models, layers, contexts, strict=True)]
        return collect(streams, stage, data, batch_size, make_statistics, weigh)

    @contextlib.contextmanager
    def _float_weights(self):
        """Inside, weights that are changed in place are what they were."""
        for number, values in (self._before or {}).items():
            weight_of(self._changed[number]).assign(values)
        try:
            yield
        finally:
            for number in self._before or {}:
                variable = weight_of(self._changed[number])
                variable.assign(self.matrices[variable.path].values())

    def _together(self, stage) -> list[list[int]]:
        """Layers of a stage that are solved by one call: all with the same rows, or each alone."""
        if "block" not in self._solver.needs or not stage.calls:
            return [[number] for number in stage.numbers]
        groups: dict[Any, list[int]] = {}
        for number in stage.numbers:
            alone = self._targets[number].num_groups > 1
            groups.setdefault((number,) if alone else stage.same_rows[number], []).append(number)
        return list(groups.values())

    def _block(self, numbers, data, batch_size) -> Block | None:
        if "block" not in self._solver.needs:
            return None
        layers = [self._changed[number] for number in numbers]
        block = find_block(self._models[0], layers)
        if block is None:
            return None
        most = self._solver.max_samples
        return record_block(self._models[0], block, layers, data, batch_size, most)

    def _solve(
        self, numbers: Sequence[int], rows: dict[int, RowStatistics], block: Block | None
    ) -> list[tuple[QuantizedMatrix, dict[str, float]]]:
        """The matrix of each of these layers, and its numbers for the report."""
        start = time.perf_counter()
        targets = [self._targets[number] for number in numbers]
        has_inputs = targets[0].has_inputs
        solver = self._solver if has_inputs else RoundToNearest(clip="mse")
        problems = [self._problems(number, rows.get(number)) for number in numbers]
        if "block" in solver.needs and targets[0].num_groups == 1:
            solved = solver.solve_together([parts[0] for parts in problems], block)
            parts = [[matrix] for matrix in solved]
        else:
            parts = [[solver.solve(problem) for problem in group] for group in problems]
        matrices = [
            join_parts(own, tuple(weight_of(target.layer).shape), target.channel_axes, target.path)
            for own, target in zip(parts, targets, strict=True)
        ]
        seconds = (time.perf_counter() - start) / len(numbers)
        found = []
        for matrix, own, given in zip(matrices, parts, problems, strict=True):
            nearest = [RoundToNearest().solve(problem) for problem in given]
            line = {
                "bits_per_weight": float(matrix.bits_per_weight),
                "nearest_error": _error(given, nearest),
                "error": _error(given, own),
                "seconds": seconds,
            }
            found.append((matrix, line))
        return found

    def _problems(self, number, rows) -> list[LayerProblem]:
        """One problem, or one for each group of the kernel."""
        target = self._targets[number]
        kernel = host_value(weight_of(target.layer)).astype("float64")
        if not np.isfinite(kernel).all():
            raise ValueError(f"`model`: layer {target.path!r} has weights that are not finite.")
        count = target.num_groups
        pieces = np.split(to_matrix(kernel, target.channel_axes), count, axis=1)
        slopes: Sequence[np.ndarray | None] = [None] * count
        if self._gradients is not None:
            slope = to_matrix(self._gradients[number], target.channel_axes)
            slopes = np.split(slope, count, axis=1)
        whole: dict[str, Any] = {"shape": kernel.shape, "channel_axes": target.channel_axes}
        return [
            LayerProblem(
                piece,
                target.bits,
                gradient=slope,
                path=target.path,
                layer=self._changed[number],
                **self._grid,
                **(whole if count == 1 else {}),
                **({} if rows is None else rows.fields(group, piece)),
            )
            for group, (piece, slope) in enumerate(zip(pieces, slopes, strict=True))
        ]

    def _write(self, number, matrix):
        variable = weight_of(self._changed[number])
        if variable.path in self.matrices:
            raise ValueError(
                f"`model` has two weights of path {variable.path!r}. Give its layers other names."
            )
        if self._before is not None:
            self._before[number] = host_value(variable).copy()
        variable.assign(matrix.values())
        self.matrices[variable.path] = matrix


def _error(problems, matrices):
    """Relative squared error of the outputs of all parts together."""
    pairs = [
        problem.squared_errors(matrix.values())
        for problem, matrix in zip(problems, matrices, strict=True)
    ]
    total = sum(size for _, size in pairs)
    return float(sum(error for error, _ in pairs) / total) if total else 0.0
