"""Weights of an ONNX graph as integers and scales."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from keras_compress.export.integer_form import IntegerForm
from keras_compress.export.onnx_graph import Graph, Node
from keras_compress.grids.matrix_layout import to_kernel, to_matrix
from keras_compress.grids.quantized_matrix import QuantizedMatrix

_TOLERANCE = 1e-5


@dataclass(frozen=True, eq=False)
class Layout:
    """How a kernel lies in a constant: axes moved, then reshaped, outputs times factors."""

    order: tuple[int, ...]
    shape: tuple[int, ...]
    factors: np.ndarray

    def apply(self, kernel: np.ndarray) -> np.ndarray:
        """An array of the shape of the kernel, as it lies in the constant."""
        return kernel.transpose(self.order).reshape(self.shape)


def find_layout(
    kernel: np.ndarray, channel_axes: tuple[int, ...], constant: np.ndarray
) -> Layout | None:
    """How `kernel` became `constant`, or `None` if it did not.

    Exporters move axes, merge them, and multiply outputs by the factors of a normalization.
    """
    if kernel.size != constant.size or not kernel.size:
        return None
    reference = to_matrix(kernel, channel_axes).astype("float64")
    norms = np.maximum((reference**2).sum(axis=0), 1e-30)
    for order in itertools.permutations(range(kernel.ndim)):
        moved = [kernel.shape[axis] for axis in order]
        back = constant.reshape(moved).transpose(np.argsort(order))
        found = to_matrix(back, channel_axes).astype("float64")
        factors = (reference * found).sum(axis=0) / norms
        limit = _TOLERANCE * max(np.abs(found).max(), 1e-30)
        if np.abs(found - factors * reference).max() <= limit:
            same = np.abs(found - reference).max() <= limit
            return Layout(order, constant.shape, np.ones_like(factors) if same else factors)
    return None


def quantize_weight(
    graph: Graph,
    name: str,
    layout: Layout,
    matrix: QuantizedMatrix,
    form: IntegerForm,
    *,
    four_bits: bool,
) -> str:
    """Store the constant `name` by the codes of `matrix`; the dtype of the codes, or why not.

    The reason not to do it starts with a space. `four_bits` allows codes of 4 bits, and scales of
    groups as an attribute of the operation; both need version 21 of the operators.
    """
    if np.any(layout.factors <= 0.0):
        return " a normalization has turned the signs of its outputs"
    chosen = _smallest(form, four_bits)
    if chosen is None:
        return " its codes do not fit in 8 bits"
    form, bits = chosen

    def lay(array):
        return layout.apply(to_kernel(array, matrix.shape, matrix.channel_axes))

    codes = lay(form.codes)
    scale = lay(form.expanded(form.scale) * layout.factors.astype("float32"))
    zero_point = lay(form.expanded(form.zero_point))
    varying = [
        axis
        for axis in range(codes.ndim)
        if any(np.any(one != one.take([0], axis)) for one in (scale, zero_point))
    ]
    dtype = f"int{bits}"
    if len(varying) <= 1:
        attributes = {"axis": varying[0]} if varying else {}
        place = tuple(slice(None) if axis in varying else 0 for axis in range(codes.ndim))
        _dequantize(graph, name, codes, scale[place], zero_point[place], dtype, attributes)
        return dtype
    block = _blocks(scale, zero_point, varying) if four_bits else None
    if block is not None:
        axis, size = block
        place = tuple(slice(None, None, size if one == axis else 1) for one in range(codes.ndim))
        attributes = {"axis": axis, "block_size": size}
        _dequantize(graph, name, codes, scale[place], zero_point[place], dtype, attributes)
        return dtype
    return _multiply(graph, name, codes, scale, zero_point, varying)


def _dequantize(graph, name, codes, scale, zero_point, dtype, attributes):
    inputs = [
        graph.add_constant(f"{name}_codes", codes, dtype),
        graph.add_constant(f"{name}_scale", scale.astype("float32"), "float"),
        graph.add_constant(f"{name}_zero_point", zero_point, dtype),
    ]
    graph.replace_constant(name, [Node("DequantizeLinear", inputs, [name], attributes)])


def _multiply(graph, name, codes, scale, zero_point, varying):
    """Scales along several axes: integers first, then a product."""
    codes = codes - zero_point
    if codes.size and not -128 <= codes.min() <= codes.max() <= 127:
        return " its codes do not fit in 8 bits"
    place = tuple(slice(None) if axis in varying else slice(0, 1) for axis in range(codes.ndim))
    whole = graph.new_name(f"{name}_integers")
    codes = graph.add_constant(f"{name}_codes", codes, "int8")
    one = graph.add_constant(f"{name}_one", np.float32(1.0), "float")
    scales = graph.add_constant(f"{name}_scale", scale[place].astype("float32"), "float")
    nodes = [
        Node("DequantizeLinear", [codes, one], [whole]),
        Node("Mul", [whole, scales], [name]),
    ]
    graph.replace_constant(name, nodes)
    return "int8"


def _smallest(form, four_bits):
    """The form and the bits that take least, without a zero point if that is possible."""
    low = 0 if not form.codes.size else int(form.codes.min())
    for bits in (4, 8) if four_bits else (8,):
        half = 0 if low < 0 else 2 ** (bits - 1)
        moved = IntegerForm(form.codes - half, form.scale, form.zero_point - half, form.group)
        for one in (form.centered(), moved, form):
            if one.fits(bits):
                return one, bits
    return None


def _blocks(scale, zero_point, varying):
    """Axis and size of blocks of equal scales, if there are such along one axis."""
    for axis in varying:
        changes = np.flatnonzero(
            np.any([np.any(_steps(one, axis) != 0, axis=1) for one in (scale, zero_point)], axis=0)
        )
        if not len(changes):
            continue
        size = int(changes[0]) + 1
        if size > 1 and np.all((changes + 1) % size == 0):
            return axis, size
    return None


def _steps(array, axis):
    """Differences along `axis`, which comes first, the other axes flat."""
    return np.moveaxis(np.diff(array.astype("float64"), axis=axis), axis, 0).reshape(
        array.shape[axis] - 1, -1
    )
