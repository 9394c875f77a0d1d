"""What the files of `save_packed` and `load_packed` have in common: the encoding of a matrix.

A matrix of a `QuantizedModel` has the codec `matrix`: its codes row by row, each with the bits of
its row and without gaps, the arrays and settings of its grid, and, where there are such, scales of
the inputs, signs of a rotation (a bit each) and outliers (a position of 32 bits and a value of 16).
Files of version 1 have the codec `affine` instead: one scale for some axes and one zero point.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from keras_compress.grids.affine_grid import AffineGrid
from keras_compress.grids.bit_packing import pack_codes, packed_length, unpack_codes
from keras_compress.grids.grid import Grid
from keras_compress.grids.kinds import KINDS
from keras_compress.grids.matrix_layout import channel_positions, to_matrix
from keras_compress.grids.quantized_matrix import QuantizedMatrix
from keras_reweight.core.model_file import WeightArrays, check_array, is_count, num_values

KIND = "keras_compress.packed_model"
VERSION = 2
#: What is still read.
VERSIONS = (1, 2)
_GRID = "grid."


def pack_matrix(matrix: QuantizedMatrix) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Fields of the record of a matrix, and its arrays by their part."""
    row_bits = matrix.grid.row_bits(len(matrix.codes))
    arrays = {"codes": _pack_rows(matrix.codes, row_bits)}
    for name, array in matrix.grid.arrays().items():
        arrays[_GRID + name] = array
    fields: dict[str, Any] = {
        "codec": "matrix",
        "channel_axes": list(matrix.channel_axes),
        "grid": matrix.grid.kind,
        "settings": matrix.grid.settings(),
        "grid_arrays": sorted(matrix.grid.arrays()),
        "parts": [],
    }
    if matrix.input_scale is not None:
        arrays["input_scale"] = np.asarray(matrix.input_scale, "float32")
        fields["parts"].append("input_scale")
    if matrix.signs is not None:
        arrays["signs"] = pack_codes(np.asarray(matrix.signs) < 0, 1)
        fields["parts"].append("signs")
    if matrix.outliers is not None:
        arrays["outlier_index"] = matrix.outliers.positions.astype("uint32")
        arrays["outlier_values"] = matrix.outliers.values
        fields["parts"].append("outliers")
    return fields, arrays


def unpack_matrix(record: dict[str, Any], arrays: WeightArrays) -> QuantizedMatrix:
    """Check and read what `pack_matrix` made."""
    shape = tuple(record["shape"])
    axes = record.get("channel_axes")
    if (
        not isinstance(axes, list)
        or not all(is_count(axis) and axis < len(shape) for axis in axes)
        or axes != sorted(set(axes))
    ):
        raise ValueError(f"channel_axes {axes!r} are no sorted axes of shape {shape}.")
    outputs = math.prod(shape[axis] for axis in axes)
    rows = num_values(record) // max(outputs, 1)
    grid = _read_grid(record, arrays, (rows, outputs))
    parts = record.get("parts")
    if not isinstance(parts, list) or not set(map(str, parts)) <= {
        "input_scale",
        "outliers",
        "signs",
    }:
        raise ValueError(f"parts {parts!r} are unknown.")
    input_scale = signs = outliers = None
    if "input_scale" in parts:
        input_scale = arrays.take("input_scale")
        check_array(input_scale, "float32", (rows,), "input scales")
    if "signs" in parts:
        signs = 1 - 2 * _unpack(arrays.take("signs"), 1, rows, "signs").astype("int8")
    if "outliers" in parts:
        index, values = arrays.take("outlier_index"), arrays.take("outlier_values")
        check_array(index, "uint32", (index.size,), "positions of outliers")
        check_array(values, "float16", (index.size,), "outliers")
        outliers = (index, values)
    codes = _unpack_rows(arrays.take("codes"), grid.row_bits(rows), outputs)
    matrix = QuantizedMatrix(codes, grid, shape, tuple(axes), input_scale, signs, outliers)
    return _checked(matrix)


def unpack_affine(record: dict[str, Any], arrays: WeightArrays) -> QuantizedMatrix:
    """Check and read a matrix of a file of version 1."""
    bits: Any = record.get("bits")
    zero_point: Any = record.get("zero_point")
    if not is_count(bits) or not 2 <= bits <= 8:
        raise ValueError(f"bits must be an integer from 2 to 8, got {bits!r}.")
    if not isinstance(zero_point, (int, float)) or not 0 <= zero_point <= 2**bits:
        raise ValueError(f"zero point {zero_point!r} is outside the codes.")
    packed, scale = arrays.take("codes"), arrays.take("scale")
    shape, count = tuple(record["shape"]), num_values(record)
    codes = _unpack(packed, bits, count, "codes").reshape(shape)
    fits = not scale.shape or (
        len(scale.shape) == len(shape)
        and all(one in (1, size) for one, size in zip(scale.shape, shape, strict=True))
    )
    if scale.dtype not in (np.float32, np.float64) or not fits or not np.all(np.isfinite(scale)):
        raise ValueError(
            f"scale ({scale.dtype}, shape {scale.shape}) does not fit {shape} or is not finite."
        )
    axes = channel_positions(tuple(np.flatnonzero(np.array(scale.shape) > 1)), max(len(shape), 1))
    grid = AffineGrid(
        bits,
        scale=to_matrix(scale, axes) if axes else scale.reshape(()),
        zero_point=float(zero_point),
    )
    return _checked(QuantizedMatrix(to_matrix(codes, axes), grid, shape, axes))


def _read_grid(record, arrays, shape) -> Grid:
    kind, names = record.get("grid"), record.get("grid_arrays")
    if not isinstance(kind, str) or kind not in KINDS:
        raise ValueError(f"grid {kind!r} is unknown.")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"grid_arrays {names!r} is no list of names.")
    found = {name: arrays.take(_GRID + name) for name in names}
    try:
        return KINDS[kind].read(record.get("settings"), found, shape)
    except TypeError as error:
        raise ValueError(
            f"settings {record.get('settings')!r} do not make a grid: {error}"
        ) from error


def _checked(matrix):
    """The matrix, if its codes have values: a table may be shorter than its codes could count."""
    try:
        finite = bool(np.all(np.isfinite(matrix.values())))
    except IndexError as error:
        raise ValueError(f"a code has no entry in the table: {error}.") from error
    if not finite:
        raise ValueError("a code stands for a value that is not finite.")
    return matrix


def _pack_rows(codes, row_bits):
    widths = np.unique(row_bits)
    if len(widths) == 1:
        return pack_codes(codes, int(widths[0]))
    digits = [_digits(row, int(bits)) for row, bits in zip(codes, row_bits, strict=True)]
    return np.packbits(np.concatenate(digits), bitorder="little")


def _unpack_rows(packed, row_bits, outputs):
    widths = np.unique(row_bits)
    if len(widths) == 1:
        count = len(row_bits) * outputs
        return _unpack(packed, int(widths[0]), count, "codes").reshape(len(row_bits), outputs)
    total = int(row_bits.sum()) * outputs
    stream = _unpack(packed, 1, total, "codes")
    codes = np.zeros((len(row_bits), outputs), "uint8")
    ends = np.cumsum(row_bits * outputs)
    for row, (bits, end) in enumerate(zip(row_bits, ends, strict=True)):
        digits = stream[end - bits * outputs : end].reshape(outputs, bits)
        codes[row] = (digits << np.arange(bits, dtype="uint8")).sum(axis=1, dtype="uint8")
    return codes


def _digits(row, bits):
    if row.size and int(row.max()) >= 2**bits:
        raise ValueError(f"`codes` must be in [0, {2**bits - 1}] for {bits} bits.")
    return ((row[:, None] >> np.arange(bits, dtype="uint8")) & 1).reshape(-1)


def _unpack(packed, bits, count, what):
    if packed.dtype != np.uint8 or packed.shape != (packed_length(count, bits),):
        raise ValueError(
            f"{packed.dtype} {what} of shape {packed.shape} do not hold {count} values of {bits} "
            "bits."
        )
    return unpack_codes(packed, bits, count)
