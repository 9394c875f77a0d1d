"""One weight matrix to quantize, with what calibration data say about its inputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_compress.grids.grid import Grid, check_bits
from keras_compress.grids.matrix_layout import to_matrix
from keras_compress.grids.quantized_matrix import QuantizedMatrix


@dataclass(frozen=True, eq=False)
class LayerProblem:
    """One weight matrix to quantize, and what calibration data say about its inputs.

    What a `Solver` gets: plain NumPy, no model. `X` are the inputs of the matrix in the model that
    is quantized so far, `X0` those in the float model, `n` rows each. Use `from_inputs` to make a
    problem from arrays, without a model.

    Args:
        weight: Float64 array of shape `(rows, outputs)`, inputs before outputs.
        bits: Integer, bits of a code, 1 to 8.
        group_size: Integer >= 1, consecutive inputs that share a scale, or `None` for one scale an
            output. Defaults to `None`.
        symmetric: Boolean, whether zero is the middle of the grid. Defaults to `False`.
        gram: Float64 array of shape `(rows, rows)`, `2 X^T X / n`. Defaults to `None`.
        cross: Float64 array of shape `(rows, rows)`, `2 (X0 - X)^T X / n`. Defaults to `None`.
        inputs: Float array of shape `(samples, rows)`, some rows of `X`. Defaults to `None`.
        targets: Float array of shape `(samples, outputs)`, `X0 W` of the same samples. Defaults to
            `None`.
        mean_abs: Float64 array of shape `(rows,)`, mean of `|X|`. Defaults to `None`.
        gradient: Float array of shape `(rows, outputs)`, of the loss. Defaults to `None`.
        path: String, path of the layer, for messages. Defaults to `"layer"`.
        shape: Tuple of integers, the shape of the variable; `None` takes that of `weight`.
        channel_axes: Tuple of integers, its axes that hold the outputs; `None` for the last one.
        layer: The `keras.layers.Layer`, or `None`. Defaults to `None`.

    Returns:
        A record with these attributes.

    Raises:
        ValueError: If `bits` is outside 1 to 8, a number is not finite, or shapes do not fit.

    Example:

    ```python
    import numpy as np
    import keras_compress as kc

    generator = np.random.default_rng(0)
    weight, inputs = generator.normal(size=(8, 3)), generator.normal(size=(40, 8))
    problem = kc.post_training.LayerProblem.from_inputs(weight, inputs, bits=3)
    found = kc.post_training.GPTQ().solve(problem)
    assert problem.error(found.values()) < 0.1
    ```

    Reference:
        None; what solvers are given.
    """

    weight: np.ndarray
    bits: int
    group_size: int | None = None
    symmetric: bool = False
    gram: np.ndarray | None = None
    cross: np.ndarray | None = None
    inputs: np.ndarray | None = None
    targets: np.ndarray | None = None
    mean_abs: np.ndarray | None = None
    gradient: np.ndarray | None = None
    path: str = "layer"
    shape: Any = None
    channel_axes: Any = None
    layer: Any = None

    def __post_init__(self):
        weight = np.asarray(self.weight, "float64")
        if weight.ndim != 2 or not weight.size:
            raise ValueError(
                f"`weight` must be a matrix (rows, outputs), got shape {weight.shape}."
            )
        object.__setattr__(self, "weight", weight)
        check_bits(self.bits)
        rows, outputs = weight.shape
        for name, shape in (
            ("weight", (rows, outputs)),
            ("gram", (rows, rows)),
            ("cross", (rows, rows)),
            ("inputs", (None, rows)),
            ("targets", (None, outputs)),
            ("mean_abs", (rows,)),
            ("gradient", (rows, outputs)),
        ):
            _check_array(self.path, name, getattr(self, name), shape)
        if self.shape is None:
            object.__setattr__(self, "shape", (rows, outputs))
        if self.channel_axes is None:
            object.__setattr__(self, "channel_axes", (len(self.shape) - 1,))

    @classmethod
    def from_inputs(
        cls, weight: np.ndarray, inputs: np.ndarray, bits: int = 4, *, float_inputs=None, **fields
    ) -> LayerProblem:
        """A problem with all statistics of `inputs` `(n, rows)`.

        `float_inputs` are the same rows in the float model; they are `inputs` if `None`.
        """
        weight, inputs = np.asarray(weight, "float64"), np.asarray(inputs, "float64")
        exact = inputs if float_inputs is None else np.asarray(float_inputs, "float64")
        share = 2.0 / len(inputs)
        statistics = {
            "gram": share * inputs.T @ inputs,
            "cross": share * (exact - inputs).T @ inputs,
            "inputs": inputs,
            "targets": exact @ weight,
            "mean_abs": np.abs(inputs).mean(axis=0),
        }
        return cls(weight, bits, **{**statistics, **fields})

    @property
    def rows(self) -> int:
        return self.weight.shape[0]

    @property
    def outputs(self) -> int:
        return self.weight.shape[1]

    def required(self, name: str) -> np.ndarray:
        """The statistic `name`, or an error that says that it is missing."""
        value = getattr(self, name)
        if value is None:
            raise ValueError(f"`problem` of {self.path!r} has no `{name}`, which the solver needs.")
        return value

    def error(self, values: np.ndarray) -> float:
        """Relative squared error of the outputs, `||X (W - Q)||^2 / ||X W||^2`.

        `values` have the shape of the variable. From `gram`, else from `inputs`, else the relative
        squared error of the weights themselves.
        """
        error, size = self.squared_errors(values)
        return error / size if size else 0.0

    def squared_errors(self, values: np.ndarray) -> tuple[float, float]:
        """Numerator and denominator of `error`, up to a factor that both have."""
        difference = self.weight - to_matrix(np.asarray(values, "float64"), self.channel_axes)
        pair = (difference, self.weight)
        if self.gram is not None:
            found = [np.vdot(matrix, self.gram @ matrix) for matrix in pair]
        elif self.inputs is not None:
            found = [np.square(self.inputs @ matrix).sum() for matrix in pair]
        else:
            found = [np.square(matrix).sum() for matrix in pair]
        return float(found[0]), float(found[1])

    def stored(self, codes: np.ndarray, grid: Grid, **parts: Any) -> QuantizedMatrix:
        """The solution as a `QuantizedMatrix`; `parts` are `input_scale`, `signs`, `outliers`."""
        codes = np.asarray(codes).astype("uint8")
        return QuantizedMatrix(codes, grid, self.shape, self.channel_axes, **parts)


def _check_array(path, name, array, shape):
    if array is None:
        return
    found = np.shape(array)
    if len(found) != len(shape) or any(
        wanted not in (None, size) for wanted, size in zip(shape, found, strict=True)
    ):
        raise ValueError(f"`{name}` of {path!r} must have shape {shape}, got {found}.")
    if not np.all(np.isfinite(array)):
        raise ValueError(f"`{name}` of {path!r} has values that are not finite.")
