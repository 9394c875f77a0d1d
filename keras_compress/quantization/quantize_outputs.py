"""Quantized outputs of layers and operations."""

from __future__ import annotations

from typing import Any

import keras

from keras_compress._rebuild import check_rebuildable, copy_layer, copy_state, is_open, rebuild
from keras_compress.quantization._aware_plan import input_quantizer
from keras_compress.quantization.assignment import Target, assign, names_of
from keras_compress.quantization.calibration import InputStatistics, calibration_batches
from keras_compress.quantization.quantize_activation import QuantizeActivation
from keras_compress.quantizers.lsq import LSQQuantizer
from keras_compress.quantizers.quantizer import Quantizer
from keras_reweight.core.graph_calls import bare_operation, graph_calls
from keras_reweight.core.selection import layers_by_path
from keras_reweight.core.validation import check_built

_MERGING = (
    keras.layers.Add,
    keras.layers.Average,
    keras.layers.Concatenate,
    keras.layers.Maximum,
    keras.layers.Minimum,
    keras.layers.Multiply,
    keras.layers.Subtract,
)
_MERGING_NAMES = {kind.__name__ for kind in _MERGING}
_EXAMPLE = "kc.layers.QuantizeActivation(kc.quantizers.LSQQuantizer(8))"


def quantize_outputs(
    model: keras.Model, bits: Any = 8, *, calibration_data: Any = None
) -> keras.Model:
    """A copy of a model with `QuantizeActivation` layers behind some of its layers.

    Use it, before or after `quantize_aware`, for integer hardware that requantizes the results of
    additions and concatenations, or that returns integers. `quantize_aware` itself quantizes what
    goes into layers with weights. Layers that merge are `Add`, `Subtract`, `Multiply`, `Average`,
    `Maximum`, `Minimum`, `Concatenate` and the operations of these names, such as `x + y`. For the
    inputs of a concatenation nothing is needed: rounding its output rounds every part to one grid.
    `freeze` leaves the new layers out.

    Args:
        model: Built Functional or Sequential `keras.Model`.
        bits: Bits of the outputs of all layers that merge: an integer from 2 to 8, `"int8"`, a
            `Quantizer` or its config. Or a dict from names or paths of any layers and operations,
            glob patterns or `re.Pattern` to these, as in `quantize_aware`. Defaults to `8`.
        calibration_data: Model inputs for the scales: an array, a structure of arrays, or an
            iterable of batches. Needed. Defaults to `None`.

    Returns:
        A new `keras.Model` of the same kind, uncompiled.

    Raises:
        TypeError: If `model` is no `keras.Model` or an argument is of a wrong kind.
        ValueError: If the model is not built or is subclassed, bits are out of range, a name
            matches nothing, nothing is left to quantize, or calibration data are missing or
            unusable.

    Example:

    ```python
    import numpy as np
    import keras
    import keras_compress as kc

    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Add()([keras.layers.Dense(4)(inputs), inputs]))
    x = np.ones((8, 4), "float32")
    quantized = kc.quantization.quantize_outputs(model, 8, calibration_data=x)
    ```

    Reference:
        Jacob et al., "Quantization and Training of Neural Networks for Efficient
        Integer-Arithmetic-Only Inference", CVPR 2018, arXiv 1712.05877, appendix A.

    Cost:
        Two copies of the model for a while, and one eager forward pass over the calibration data.
    """
    check_built(model, "quantize_outputs")
    check_rebuildable(model, "quantize_outputs", _EXAMPLE)
    found = {id(operation): (path, operation) for path, operation in _operations(model)}
    chosen: dict[int, Any] = assign("bits", bits, _targets(found.values()))  # type: ignore[assignment]
    if not isinstance(bits, dict) or "class_name" in bits:
        chosen = {key: value for key, value in chosen.items() if _merges(found[key][1])}
    if not chosen:
        raise ValueError(
            f"`bits`={bits!r}: model {model.name!r} has no layer to quantize the output of. Layers "
            f"to name: {[path for path, _ in found.values()]}."
        )
    if calibration_data is None:
        raise ValueError(
            "quantize_outputs needs `calibration_data`, a few batches of typical model inputs, to "
            "choose the scales; got None."
        )
    start = {key: _observing(value) for key, value in chosen.items()}
    probe, layers = _insert(model, start)
    statistics = {}
    for key, layer in layers.items():
        statistics[key] = layer.observer = InputStatistics(found[key][0], start[key])
    for batch in calibration_batches(calibration_data, len(model.inputs)):
        probe(batch, training=False)
    means = {key: observed.mean for key, observed in statistics.items()}
    quantizers = {
        key: input_quantizer(value, statistics[key].smallest) for key, value in chosen.items()
    }
    result, layers = _insert(model, quantizers)
    for key, mean in means.items():
        layers[key].activation_quantizer.set_statistic(mean)
    return result


def _observing(value):
    """A quantizer that is only asked for its statistic."""
    if not isinstance(value, Quantizer):
        return LSQQuantizer(value, axis=None)
    config = value.get_config()
    axis = None if config["axis"] == -1 else config["axis"]
    return type(value).from_config({**config, "axis": axis})


def _operations(model):
    """Path and layer (or bare operation) of all that the model calls, nested models opened."""
    paths = {id(layer): path for path, layer in layers_by_path(model).items()}
    seen: set[int] = set()

    def visit(graph, prefix):
        for call in graph_calls(graph):
            operation = call.operation
            if id(operation) in seen or isinstance(operation, keras.layers.InputLayer):
                continue
            seen.add(id(operation))
            path = paths.get(id(operation), prefix + operation.name)
            if isinstance(operation, keras.Model) and is_open(operation):
                yield from visit(operation, path + "/")
            else:
                yield path, operation, call

    for path, operation, call in visit(model, ""):
        one = len(call.outputs) == 1 and keras.backend.is_float_dtype(call.outputs[0].dtype)
        if one or _merges(operation):
            yield path, operation


def _targets(found):
    return [
        Target(id(operation), path, names_of(path, operation.name), (operation.name, path))
        for path, operation in found
        if not isinstance(operation, QuantizeActivation)
    ]


def _merges(operation):
    return isinstance(operation, _MERGING) or bare_operation(operation) in _MERGING_NAMES


def _insert(model, quantizers):
    """A copy of the model, and by the `id` of an operation the layer behind it."""
    made = {}

    def followed(operation, copy):
        if id(operation) not in quantizers:
            return copy
        name = f"{operation.name}_output"
        made[id(operation)] = QuantizeActivation(quantizers[id(operation)], name=name)
        return [copy, made[id(operation)]]

    result, pairs = rebuild(
        model,
        lambda layer: followed(layer, copy_layer(layer)),
        make_operation=lambda one: followed(one, type(one).from_config(one.get_config())),
    )
    for old, new in pairs.values():
        copy_state(old, new[0] if isinstance(new, list) else new)
    return result, made
