"""Inputs of layers in an ONNX graph, rounded to their range."""

from __future__ import annotations

import numpy as np

from keras_compress.export.onnx_graph import LAYOUT_OPS, Graph, Node
from keras_compress.quantization.quantized_model import ActivationRange

#: What multiplies a weight with an input, which are its first two tensors.
_PRODUCTS = frozenset({"Conv", "ConvTranspose", "Einsum", "FusedMatMul", "Gemm", "MatMul"})


def quantize_inputs(graph: Graph, weight: str, range_: ActivationRange) -> bool:
    """Round what is multiplied with the tensor `weight`; whether anything is."""
    found = list(_products(graph, weight))
    for node, place in found:
        node.inputs[1 - place] = _rounded(graph, node.inputs[1 - place], range_)
    return bool(found)


def _products(graph, name):
    for node, place in graph.consumers(name):
        if node.op_type in LAYOUT_OPS and place == 0:
            yield from _products(graph, node.outputs[0])
        elif node.op_type in _PRODUCTS and place < 2:
            yield node, place


def _rounded(graph, name, range_):
    """Name of the rounded tensor; layers with the same input and range share it."""
    dtype = "int8" if range_.signed else "uint8"
    scale = np.float32(range_.scale)
    result = f"{name}/{dtype}/{range_.bits}/{scale.tobytes().hex()}/{range_.zero_point}"
    if any(result in node.outputs for node in graph.nodes):
        return result
    grid = [
        graph.add_constant(f"{result}/scale", scale, "float"),
        graph.add_constant(f"{result}/zero_point", range_.zero_point, dtype),
    ]
    nodes = []
    source = name
    if range_.bits < 8:
        # The operation itself limits codes to 8 bits.
        limits = [
            graph.add_constant(f"{result}/{end}", scale * np.float32(code), "float")
            for end, code in zip(
                ("low", "high"), np.subtract(range_.code_range, range_.zero_point), strict=True
            )
        ]
        source = graph.new_name(f"{result}/limited")
        nodes.append(Node("Clip", [name, *limits], [source]))
    codes = graph.new_name(f"{result}/codes")
    nodes.append(Node("QuantizeLinear", [source, *grid], [codes]))
    nodes.append(Node("DequantizeLinear", [codes, *grid], [result]))
    graph.insert_after(name, nodes)
    return result
