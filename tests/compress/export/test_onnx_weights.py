"""Weights of ONNX graphs as codes: what a runtime would compute is what was there."""

import numpy as np
import pytest

from keras_compress.export.integer_form import integer_form
from keras_compress.export.onnx_graph import Graph, Node
from keras_compress.export.onnx_weights import find_layout, quantize_weight
from keras_compress.grids import AffineGrid, QuantizedMatrix, TableGrid
from keras_compress.grids.matrix_layout import to_matrix

RNG = np.random.default_rng(0)


def stored(shape, channel_axes, grid=None, bits=8):
    kernel = RNG.normal(size=shape)
    matrix = to_matrix(kernel, channel_axes)
    if grid is None:
        scale = np.abs(matrix).max(axis=0)[None] / (2 ** (bits - 1) - 1)
        grid = AffineGrid(bits, scale=scale, zero_point=2 ** (bits - 1))
    return QuantizedMatrix(grid.encode(matrix), grid, shape, channel_axes)


def run(graph):
    """The operations that a rewriting puts in, as ONNX defines them."""
    tensors = dict(graph.constants)
    for name in graph.removed:
        del tensors[name]
    for name, constant in graph.added.items():
        if constant.dtype.startswith("int"):
            half = 2 ** (int(constant.dtype[3:]) - 1)
            assert np.all((constant.values >= -half) & (constant.values < half))
        tensors[name] = constant.values
    for node in graph.nodes:
        taken = [tensors[one] for one in node.inputs]
        if node.op_type == "Mul":
            tensors[node.outputs[0]] = taken[0] * taken[1]
        elif node.op_type == "DequantizeLinear":
            tensors[node.outputs[0]] = dequantized(*taken, **node.attributes)
    return tensors


def dequantized(codes, scale, zero_point=0, *, axis=1, block_size=0):
    if block_size:
        scale, zero_point = (
            np.take(np.repeat(one, block_size, axis), np.arange(codes.shape[axis]), axis)
            for one in (scale, zero_point)
        )
    elif np.ndim(scale):
        shape = [-1 if one == axis else 1 for one in range(codes.ndim)]
        scale, zero_point = scale.reshape(shape), zero_point.reshape(shape)
    return (codes.astype("float32") - zero_point) * scale


LAYOUTS = {
    "as it is": ((6, 4), (1,), lambda kernel: kernel),
    "transposed": ((6, 4), (1,), lambda kernel: kernel.T),
    "convolution": ((3, 2, 5, 4), (3,), lambda kernel: kernel.transpose(3, 2, 0, 1)),
    "depthwise": (
        (3, 2, 5, 2),
        (2, 3),
        lambda kernel: kernel.transpose(2, 3, 0, 1).reshape(10, 1, 3, 2),
    ),
    "heads merged": ((6, 2, 3), (1, 2), lambda kernel: kernel.reshape(6, 6)),
    "heads apart": ((6, 2, 3), (1, 2), lambda kernel: kernel),
    "outputs last": ((2, 3, 6), (2,), lambda kernel: kernel.transpose(2, 0, 1).reshape(6, 6)),
    "normalized": ((3, 2, 5, 4), (3,), lambda kernel: kernel * np.array([0.5, 2.0, 1.5, 0.1])),
    "vector": ((6, 1), (1,), lambda kernel: kernel.reshape(6)),
}


@pytest.mark.parametrize("four_bits", [True, False])
@pytest.mark.parametrize("name", LAYOUTS)
def test_codes_in_every_layout(name, four_bits):
    shape, channel_axes, move = LAYOUTS[name]
    matrix = stored(shape, channel_axes, bits=4)
    constant = np.ascontiguousarray(move(matrix.values())).astype("float32")
    layout = find_layout(matrix.values(), matrix.channel_axes, constant)
    graph = Graph([Node("MatMul", ["x", "w"], ["y"])], {"w": constant})
    kind = quantize_weight(graph, "w", layout, matrix, integer_form(matrix), four_bits=four_bits)
    apart = name == "heads apart"
    assert kind == ("int4" if four_bits and not apart else "int8")
    assert [node.op_type for node in graph.nodes].count("Mul") == apart
    np.testing.assert_allclose(run_all(graph), constant, rtol=1e-6, atol=1e-7)


def run_all(graph):
    return run(Graph(graph.nodes[:-1], graph.constants, graph.added, graph.removed))["w"]


GRIDS = {
    "one scale": AffineGrid(8, scale=0.1, zero_point=128),
    "zero points": AffineGrid(8, scale=0.1, zero_point=np.array([[0, 255, 7, 100]])),
    "groups": AffineGrid(
        4,
        scale=RNG.uniform(0.1, 1, (3, 4)),
        zero_point=RNG.integers(0, 16, (3, 4)),
        group_size=4,
    ),
    "groups of outputs": AffineGrid(
        3, scale=RNG.uniform(0.1, 1, (9, 2)), zero_point=4, group_size=2, group_axis=1
    ),
    "inputs": AffineGrid(4, scale=RNG.uniform(0.1, 1, (9, 1)), zero_point=8),
    "ternary": TableGrid(2, table=[-1, 0, 1], scale=RNG.uniform(0.1, 1, (1, 4))),
}


@pytest.mark.parametrize("four_bits", [True, False])
@pytest.mark.parametrize("transposed", [True, False])
@pytest.mark.parametrize("name", GRIDS)
def test_every_grid(name, transposed, four_bits):
    matrix = stored((9, 4), (1,), GRIDS[name])
    constant = matrix.values().T if transposed else matrix.values()
    layout = find_layout(matrix.values(), (1,), constant)
    graph = Graph([Node("MatMul", ["x", "w"], ["y"])], {"w": constant})
    kind = quantize_weight(graph, "w", layout, matrix, integer_form(matrix), four_bits=four_bits)
    assert kind in ("int4", "int8")
    np.testing.assert_allclose(run_all(graph), constant, rtol=1e-6, atol=1e-7)
    attributes = graph.nodes[0].attributes
    if four_bits and name.startswith("groups"):
        rows = transposed == (name == "groups")
        assert attributes == {"axis": int(rows), "block_size": 4 if name == "groups" else 2}


def test_other_constants_are_no_layout():
    kernel = RNG.normal(size=(6, 4))
    assert find_layout(kernel, (1,), RNG.normal(size=(6, 4))) is None
    assert find_layout(kernel, (1,), RNG.normal(size=(6, 5))) is None
    # Rows are not outputs: no factors there.
    assert find_layout(kernel, (1,), kernel * np.arange(1, 7)[:, None]) is None


def test_reasons_start_with_a_space_and_change_nothing():
    matrix = stored((6, 4), (1,))
    constant = matrix.values() * np.array([1.0, -1.0, 1.0, 1.0])
    layout = find_layout(matrix.values(), (1,), constant)
    graph = Graph([], {"w": constant})
    found = quantize_weight(graph, "w", layout, matrix, integer_form(matrix), four_bits=True)
    assert found.startswith(" ") and "signs" in found
    assert not graph.nodes and not graph.added and not graph.removed
