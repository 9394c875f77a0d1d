"""Following channels through a model, call by call."""

from __future__ import annotations

import dataclasses

import keras

from keras_reweight.core.channels.rules import find_rule
from keras_reweight.core.channels.trace import Call, Pass, Trace, Tracked
from keras_reweight.core.graph_calls import graph_calls
from keras_reweight.core.model_kind import is_functional
from keras_reweight.core.selection import layers_by_path


def is_open(layer) -> bool:
    """Whether a layer is a model whose calls are known."""
    if isinstance(layer, keras.Sequential):
        return hasattr(layer, "inputs")
    return is_functional(layer)


def trace_model(model: keras.Model) -> Trace:
    """Follow the channels of all tensors; inputs and outputs of the model stay as they are."""
    trace = Trace({id(layer): path for path, layer in layers_by_path(model).items()})
    inputs = [Tracked(tuple(tensor.shape)) for tensor in model.inputs]
    for tensor in _walk(trace, model, inputs, ""):
        trace.freeze(tensor.atoms, "output of the model")
    for layer in trace.opaque:
        # It may hold layers that have other calls as well, an embedding whose table it uses too.
        inside = {id(variable) for variable in layer.variables}
        for binding in trace.bindings.values():
            if id(binding.variable) in inside:
                trace.freeze(binding.atoms, f"{trace.paths[id(layer)]}: has the same weights")
    return trace


def _walk(trace: Trace, model: keras.Model, inputs: list[Tracked], prefix: str) -> list[Tracked]:
    known: dict[int, Tracked] = {}
    for tensor, given in zip(model.inputs, inputs, strict=True):
        # The input of a model that is called twice is the same at both calls.
        known[id(tensor)] = trace.same(
            ("input", id(tensor)), given, f"{prefix}{tensor.name}: called with other channels"
        )
    for call in graph_calls(model):
        operation = call.operation
        if isinstance(operation, keras.layers.InputLayer):
            continue
        taken = [known[id(tensor)] for tensor in call.inputs]
        path = trace.paths.get(id(operation), prefix + operation.name)
        shapes = [tuple(tensor.shape) for tensor in call.outputs]
        if isinstance(operation, keras.Model) and is_open(operation):
            made = _walk(trace, operation, taken, f"{path}/")
        else:
            made = _visit(
                Call(
                    trace,
                    operation,
                    path,
                    taken,
                    shapes,
                    call.args,
                    call.kwargs,
                    lambda tensor: known.get(id(tensor)),
                )
            )
            trace.passes.append(Pass(call, taken, made))
        for tensor, shape, tracked in zip(call.outputs, shapes, made, strict=True):
            known[id(tensor)] = dataclasses.replace(tracked, shape=shape)
    return [known[id(tensor)] for tensor in model.outputs]


def _visit(call: Call) -> list[Tracked]:
    rule = find_rule(call.operation)
    if rule is None:
        return call.refuse(f"no rule for {type(call.operation).__name__}")
    return rule(call)
