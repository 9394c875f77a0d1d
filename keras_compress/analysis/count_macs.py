"""How much a model computes for one sample."""

from __future__ import annotations

import math
from typing import Any

import keras

from keras_compress.analysis.compute_report import ComputeReport, LayerCompute
from keras_compress.analysis.mac_rules import mac_rule
from keras_reweight.core.call_shapes import call_shapes
from keras_reweight.core.selection import layers_by_path
from keras_reweight.core.validation import check_built


def count_macs(model: keras.Model, input_shapes: Any = None) -> ComputeReport:
    """Count parameters and multiply-accumulates of every layer of a model, for one sample.

    Use it to compare a model before and after pruning, or to set a budget. Nothing is computed:
    the model's own code runs on symbolic tensors, so that Functional, Sequential, nested and
    subclassed models and layers called several times are counted alike.

    Counted are the products with weights in dense, einsum, convolution (plain, transposed,
    depthwise, separable, grouped), recurrent (times the time steps) and attention layers, and the
    products of activations in attention and `Dot`. Everything else is taken as free, as is usual:
    biases, normalization (which folds into its neighbor), activations, pooling, merging, embedding
    lookups, and bare `keras.ops`. A floating-point operation count is about twice the MACs.

    Args:
        model: A built `keras.Model`.
        input_shapes: Shape of one sample, a tuple of integers without the batch axis, or a list or
            dict of such shapes for several inputs; `keras.KerasTensor` where the dtype matters.
            Defaults to `None`, the shapes the model was built with.

    Returns:
        A `ComputeReport`.

    Raises:
        TypeError: If `model` is no `keras.Model`, or a shape no tuple of integers.
        ValueError: If the model is not built, or an axis of its inputs has no size.

    Example:

    ```python
    import keras
    import keras_compress as kc

    model = keras.Sequential([keras.Input((32, 32, 3)), keras.layers.Conv2D(16, 3)])
    assert kc.analysis.count_macs(model).macs == 30 * 30 * 16 * 3 * 3 * 3
    ```

    Reference:
        None; arithmetic.

    Cost:
        One symbolic forward pass.
    """
    check_built(model, "count_macs")
    units = _units(model)
    calls = call_shapes(model, units.values(), input_shapes)
    by_layer: dict[int, list] = {}
    for call in calls:
        by_layer.setdefault(id(call.layer), []).append(call)
    rows, uncounted = [], []
    seen: set[int] = set()
    for path, layer in units.items():
        found, rule = by_layer.get(id(layer), []), mac_rule(layer)
        weights = layer.weights if rule is not None else _own_weights(layer)
        own = [variable for variable in weights if id(variable) not in seen]
        seen.update(id(variable) for variable in own)
        if rule is None and any(_is_matrix(variable) for variable in own):
            uncounted.append(path)
        macs = sum(rule(call) // call.first[0] for call in found) if rule else 0
        if own or macs:
            rows.append(
                LayerCompute(
                    path,
                    type(layer).__name__,
                    _output_shape(found),
                    sum(math.prod(variable.shape) for variable in own),
                    macs,
                    len(found),
                )
            )
    return ComputeReport(tuple(rows), tuple(uncounted))


def _units(model):
    """Layers that are counted as one, by path: those with a rule, and leaves."""
    found, around = {}, ()
    for path, layer in layers_by_path(model).items():
        if path.startswith(around) or isinstance(layer, keras.layers.InputLayer):
            continue
        below = f"{path}/"
        if mac_rule(layer) is not None:
            around = (*around, below)
            found[path] = layer
        elif _own_weights(layer):
            found[path] = layer
    if _own_weights(model):
        found[model.name] = model
    return found


def _own_weights(layer):
    """Weights that belong to none of the layers inside."""
    inside = {
        id(variable) for inner in layers_by_path(layer).values() for variable in inner.weights
    }
    return [variable for variable in layer.weights if id(variable) not in inside]


def _is_matrix(variable):
    return len(variable.shape) >= 2 and keras.backend.is_float_dtype(variable.dtype)


def _output_shape(calls):
    """Shape of one sample of what the last call gives."""
    shapes = calls[-1].outputs if calls else []
    return tuple(shapes[0][1:]) if shapes else ()
