"""Reading and writing of ONNX files, with the `onnx` package."""

from __future__ import annotations

import importlib
import os
import pathlib
from typing import Any

from keras_compress.export.onnx_graph import Graph, Node
from keras_reweight.core.files import write_atomically

#: Version of the operators that knows codes of 4 bits and scales of blocks, and of scales by axis.
FOUR_BITS, BY_AXIS = 21, 13


def import_onnx(caller: str) -> Any:
    """The `onnx` package, or an error that says how to get it."""
    try:
        return importlib.import_module("onnx")
    except ImportError as error:
        raise ImportError(
            f"{caller} needs onnx: pip install keras-reweight-compress[runtimes]"
        ) from error


def read_graph(path: str | os.PathLike, version: int) -> tuple[Any, Graph]:
    """The model of a file with operators of `version` or later, and its graph."""
    onnx = import_onnx("export_onnx")
    model = onnx.load(str(path))
    (found,) = (one.version for one in model.opset_import if one.domain in ("", "ai.onnx"))
    if found < version:
        importlib.import_module("onnx.version_converter")
        model = onnx.version_converter.convert_version(model, version)
    nodes = [
        Node(one.op_type, list(one.input), list(one.output), source=one) for one in model.graph.node
    ]
    constants = {
        one.name: onnx.numpy_helper.to_array(one)
        for one in model.graph.initializer
        if one.data_type == onnx.TensorProto.FLOAT
    }
    return model, Graph(nodes, constants)


def write_graph(model: Any, graph: Graph, path: pathlib.Path) -> None:
    """Write a graph that was read by `read_graph` and changed."""
    onnx = import_onnx("export_onnx")
    protos = [_node(onnx, node) for node in graph.nodes]
    kept = [one for one in model.graph.initializer if one.name not in graph.removed]
    added = [_tensor(onnx, name, constant) for name, constant in graph.added.items()]
    for field, values in (("node", protos), ("initializer", [*kept, *added])):
        copies = [type(one).FromString(one.SerializeToString()) for one in values]
        model.graph.ClearField(field)
        getattr(model.graph, field).extend(copies)
    # Shapes of intermediate tensors that exporters leave behind may be of what is no longer there.
    model.graph.ClearField("value_info")
    inputs = [one for one in model.graph.input if one.name not in graph.removed]
    model.graph.ClearField("input")
    model.graph.input.extend(inputs)
    onnx.checker.check_model(model, full_check=True)
    write_atomically(path, model.SerializeToString(deterministic=True))


def _node(onnx, node):
    if node.source is None:
        return onnx.helper.make_node(node.op_type, node.inputs, node.outputs, **node.attributes)
    proto = type(node.source).FromString(node.source.SerializeToString())
    proto.ClearField("input")
    proto.input.extend(node.inputs)
    return proto


def _tensor(onnx, name, constant):
    kind = getattr(onnx.TensorProto, constant.dtype.upper())
    values = constant.values
    if constant.dtype == "int4":
        return onnx.helper.make_tensor(name, kind, values.shape, values.reshape(-1).tolist())
    dtype = "float32" if constant.dtype == "float" else constant.dtype
    return onnx.numpy_helper.from_array(values.astype(dtype), name)
