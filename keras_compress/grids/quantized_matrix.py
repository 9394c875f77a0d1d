"""One quantized weight matrix as it is stored."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from keras_compress.grids.bit_packing import packed_length
from keras_compress.grids.grid import Grid
from keras_compress.grids.hadamard import hadamard_transform
from keras_compress.grids.matrix_layout import channel_positions, to_kernel


class Outliers(NamedTuple):
    """Single entries kept outside the grid: flat positions in the matrix, and 16-bit values."""

    positions: np.ndarray
    values: np.ndarray


@dataclass(frozen=True, eq=False)
class QuantizedMatrix:
    """One quantized weight variable: codes, what they stand for, and what else its values need.

    The codes are kept as a matrix `(rows, outputs)`: the axes of the variable that are no channel
    axes, in their order, by those that are. The values follow in this order: the grid decodes the
    codes; with `signs`, the rows are turned back, `diag(signs) H / sqrt(rows)` times the matrix,
    `H` Sylvester's Hadamard matrix (of blocks, where the number of rows is no power of two); with
    `input_scale`, every row is divided by its entry; with `outliers`, single entries are replaced.

    Args:
        codes: Uint8 array of shape `(rows, outputs)`.
        grid: The grid of the codes: an `AffineGrid`, `TableGrid` or `PowerGrid`.
        shape: Tuple of integers, the shape of the variable.
        channel_axes: Tuple of the axes of the variable that hold its outputs; empty for none.
        input_scale: Float array of shape `(rows,)`, positive, or `None`. Defaults to `None`.
        signs: Int8 array of shape `(rows,)` of 1 and -1, or `None`. Defaults to `None`.
        outliers: Pair `(index, values)` of an int64 array of positions in the flat matrix and a
            float16 array, or `None`. Defaults to `None`.

    Returns:
        An object with `values()`, the variable as a float array.

    Raises:
        ValueError: If the arguments do not fit together.

    Example:

    ```python
    import numpy as np
    import keras_compress as kc

    kernel = np.array([[0.3, -2.0], [0.1, 1.0]], "float32")
    grid = kc.grids.AffineGrid(4, scale=np.array([[0.1, 0.5]]), zero_point=8)
    stored = kc.grids.QuantizedMatrix(grid.encode(kernel), grid, (2, 2), (1,))
    assert np.allclose(stored.values(), kernel)
    assert stored.num_bytes == 2 + 8
    ```

    Reference:
        None; what solvers and quantizers hand to files and exports.
    """

    codes: np.ndarray
    grid: Grid
    shape: tuple[int, ...]
    channel_axes: tuple[int, ...]
    input_scale: np.ndarray | None = None
    signs: np.ndarray | None = None
    outliers: Any = None

    def __post_init__(self):
        shape = tuple(int(size) for size in self.shape)
        axes = channel_positions(self.channel_axes, len(shape))
        outputs = math.prod(shape[axis] for axis in axes)
        rows = math.prod(shape) // max(outputs, 1)
        if self.codes.dtype != np.uint8 or self.codes.shape != (rows, outputs):
            raise ValueError(
                f"`codes` must be uint8 of shape {(rows, outputs)} for a variable of shape {shape} "
                f"with channel axes {axes}, got {self.codes.dtype} of shape {self.codes.shape}."
            )
        for name in ("input_scale", "signs"):
            array = getattr(self, name)
            if array is None:
                continue
            fits = np.shape(array) == (rows,) and np.all(np.isfinite(array))
            if not fits or not np.all(np.asarray(array) > 0 if name == "input_scale" else True):
                raise ValueError(f"`{name}` must be finite numbers for {rows} rows, got {array!r}.")
        if self.signs is not None and not np.all(np.abs(self.signs) == 1):
            raise ValueError("`signs` must be 1 or -1.")
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "channel_axes", axes)
        if self.outliers is not None:
            object.__setattr__(self, "outliers", _checked_outliers(self.outliers, rows * outputs))

    @property
    def bits(self) -> int:
        """Bits of a code; of the longest, where they differ."""
        return self.grid.bits

    def values(self) -> np.ndarray:
        """The variable: a float32 array of its shape."""
        matrix = self.grid.decode(self.codes)
        if self.signs is not None:
            signs = np.asarray(self.signs, matrix.dtype)
            matrix = hadamard_transform(matrix) * signs[:, None]
        if self.input_scale is not None:
            matrix = matrix / np.asarray(self.input_scale, matrix.dtype)[:, None]
        if self.outliers is not None:
            matrix = matrix.copy()
            matrix.reshape(-1)[self.outliers.positions] = self.outliers.values
        return to_kernel(matrix, self.shape, self.channel_axes)

    @property
    def code_bytes(self) -> int:
        """Bytes of the codes, packed without gaps."""
        per_row = self.grid.row_bits(len(self.codes))
        return packed_length(int(per_row.sum()) * self.codes.shape[1], 1)

    @property
    def num_bytes(self) -> int:
        """Bytes of codes, grid, and what else belongs to the matrix."""
        total = self.code_bytes + sum(array.nbytes for array in self.grid.arrays().values())
        if self.input_scale is not None:
            total += 4 * len(self.input_scale)
        if self.signs is not None:
            total += packed_length(len(self.signs), 1)
        if self.outliers is not None:
            # A position takes 4 bytes, as in the file.
            total += len(self.outliers.positions) * (4 + 2)
        return total

    @property
    def bits_per_weight(self) -> float:
        """All bytes of the matrix, over its number of weights."""
        return 8.0 * self.num_bytes / self.codes.size


def _checked_outliers(outliers, size):
    index, values = (np.asarray(part) for part in outliers)
    if index.ndim != 1 or index.dtype.kind not in "iu" or values.shape != index.shape:
        raise ValueError("`outliers` must be two vectors of one length: positions and values.")
    if len(index) and not 0 <= int(index.min()) <= int(index.max()) < size:
        raise ValueError(f"`outliers`: positions must be in 0..{size - 1}.")
    if len(np.unique(index)) != len(index):
        raise ValueError("`outliers`: a position appears twice.")
    with np.errstate(over="ignore"):
        values = values.astype("float16")
    if not np.all(np.isfinite(values)):
        raise ValueError("`outliers`: a value is not finite in 16 bits.")
    return Outliers(index.astype("int64"), values)
