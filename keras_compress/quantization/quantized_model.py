"""A model on its quantization grid, and how it is stored."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import keras

from keras_compress.grids.quantized_matrix import QuantizedMatrix
from keras_reweight.core.validation import check_integer, check_number


@dataclass(frozen=True)
class ActivationRange:
    """The grid of a layer's inputs: `value = scale * (code - zero_point)`.

    Use it to say in a `QuantizedModel` what exports shall round inputs to; `quantized_form` makes
    it from the quantizers of a trained model.

    Args:
        bits: Integer, bits of a code, 2 to 8.
        scale: Float > 0, the step.
        zero_point: Integer, the code that stands for zero. Defaults to `0`.
        signed: Boolean, whether codes start at `-2**(bits - 1)` instead of 0. Defaults to `True`.

    Returns:
        A record with these attributes.

    Raises:
        TypeError: If `bits` or `zero_point` is no integer.
        ValueError: If a number is outside its range.

    Example:

    ```python
    import keras_compress as kc

    found = kc.quantization.ActivationRange(bits=8, scale=0.1)
    assert found.code_range == (-128, 127)
    ```

    Reference:
        None; what quantized exports are told about activations.
    """

    bits: int
    scale: float
    zero_point: int = 0
    signed: bool = True

    def __post_init__(self):
        check_integer("bits", self.bits, minimum=2, maximum=8)
        check_number("scale", self.scale, exclusive_minimum=0.0)
        low, high = self.code_range
        check_integer("zero_point", self.zero_point, minimum=low, maximum=high)

    @property
    def code_range(self) -> tuple[int, int]:
        """Smallest and largest code."""
        low = -(2 ** (self.bits - 1)) if self.signed else 0
        return low, low + 2**self.bits - 1


@dataclass(frozen=True, eq=False)
class QuantizedModel:
    """A plain Keras model whose weights are on a grid, and the codes they are stored by.

    What post-training quantization returns and `quantized_form` makes of a quantization-aware
    model; what files and exports are written from.

    Args:
        model: Plain `keras.Model` that already computes with the quantized values.
        matrices: Dict from variable paths of `model` to the `QuantizedMatrix` of the variable.
        ranges: Dict from layer paths of `model` to the `ActivationRange` of the layer's input.
            Defaults to an empty dict.
        report: What the solver has to say, or `None`. Defaults to `None`.

    Returns:
        A record with these attributes.

    Raises:
        ValueError: If a path belongs to no variable of the model or shapes differ.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_compress as kc

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, name="dense")])
    kernel = np.array([[0.3, -2.0], [0.1, 1.0]], "float32")
    grid = kc.grids.AffineGrid(4, scale=np.array([[0.1, 0.5]]), zero_point=8)
    stored = kc.grids.QuantizedMatrix(grid.encode(kernel), grid, (2, 2), (1,))
    model.layers[0].kernel.assign(stored.values())
    quantized = kc.quantization.QuantizedModel(model, {model.layers[0].kernel.path: stored})
    assert quantized.num_bytes == stored.num_bytes + 2 * 4
    ```

    Reference:
        None; container.
    """

    model: keras.Model
    matrices: dict[str, QuantizedMatrix]
    ranges: dict[str, ActivationRange] = field(default_factory=dict)
    report: Any = None

    def __post_init__(self):
        variables = {variable.path: variable for variable in self.model.weights}
        for path, matrix in self.matrices.items():
            if path not in variables:
                raise ValueError(
                    f"`matrices`: the model has no weight {path!r}. Weights: {list(variables)}."
                )
            if tuple(variables[path].shape) != matrix.shape:
                raise ValueError(
                    f"`matrices`: weight {path!r} has shape {tuple(variables[path].shape)}, its "
                    f"quantized form {matrix.shape}."
                )

    @property
    def num_bytes(self) -> int:
        """Bytes of all weights: quantized ones as stored, the others as they are."""
        total = sum(matrix.num_bytes for matrix in self.matrices.values())
        for variable in self.model.weights:
            if variable.path not in self.matrices:
                values = keras.ops.convert_to_numpy(variable.value)
                total += values.nbytes
        return total
