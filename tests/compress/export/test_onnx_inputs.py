"""Rounded inputs in ONNX graphs."""

import numpy as np

from keras_compress.export.onnx_graph import Graph, Node
from keras_compress.export.onnx_inputs import quantize_inputs
from keras_compress.quantization import ActivationRange


def graph():
    """x -> MatMul(w) -> Relu -> Conv(k, by way of a Transpose); x -> MatMul(v)."""
    return Graph(
        [
            Node("MatMul", ["x", "w"], ["a"]),
            Node("Relu", ["a"], ["b"]),
            Node("Transpose", ["k"], ["kt"]),
            Node("Conv", ["b", "kt", "bias"], ["c"]),
            Node("MatMul", ["x", "v"], ["d"]),
        ],
        {name: np.ones((2, 2), "float32") for name in "wkv"},
    )


def operations(found):
    return [node.op_type for node in found.nodes]


def rounding(found, name):
    """What rounds the first input of the node that puts out `name`, back to its source."""
    producers = {one: node for node in found.nodes for one in node.outputs}
    node = producers[name]
    last = producers[node.inputs[0]]
    first = producers[last.inputs[0]]
    assert (first.op_type, last.op_type) == ("QuantizeLinear", "DequantizeLinear")
    assert first.inputs[1:] == last.inputs[1:]
    # Computed before it is needed.
    assert found.nodes.index(first) < found.nodes.index(last) < found.nodes.index(node)
    return first.inputs[0], *(found.added[one] for one in first.inputs[1:])


def test_the_input_of_a_product_is_rounded():
    found = graph()
    assert quantize_inputs(found, "w", ActivationRange(8, 0.25, 3, signed=False))
    source, scale, zero_point = rounding(found, "a")
    assert source == "x" and scale.values == np.float32(0.25)
    assert (int(zero_point.values), zero_point.dtype) == (3, "uint8")
    assert operations(found).count("QuantizeLinear") == 1


def test_a_weight_may_change_its_layout_first():
    found = graph()
    assert quantize_inputs(found, "k", ActivationRange(8, 0.5))
    source, _, zero_point = rounding(found, "c")
    assert source == "b" and zero_point.dtype == "int8"


def test_equal_ranges_of_an_input_are_shared_in_any_order():
    found = graph()
    for weight in ("v", "w"):
        assert quantize_inputs(found, weight, ActivationRange(8, 0.5))
    assert operations(found).count("QuantizeLinear") == 1
    assert rounding(found, "a")[0] == rounding(found, "d")[0] == "x"
    other = graph()
    for weight, scale in (("v", 0.5), ("w", 0.25)):
        quantize_inputs(other, weight, ActivationRange(8, scale))
    assert operations(other).count("QuantizeLinear") == 2


def test_fewer_bits_are_limited_first():
    found = graph()
    quantize_inputs(found, "w", ActivationRange(4, 0.5, -2))
    name, *_ = rounding(found, "a")
    (clip,) = (node for node in found.nodes if node.op_type == "Clip")
    assert clip.outputs == [name] and clip.inputs[0] == "x"
    low, high = (found.added[one].values for one in clip.inputs[1:])
    assert (low, high) == (0.5 * (-8 + 2), 0.5 * (7 + 2))


def test_no_product():
    found = graph()
    assert not quantize_inputs(found, "bias", ActivationRange(8, 0.5))
    assert len(found.nodes) == 5 and not found.added
