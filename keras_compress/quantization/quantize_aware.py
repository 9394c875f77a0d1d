"""Rewriting a model for quantization-aware training."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from keras_compress._rebuild import (
    check_rebuildable,
    copy_layer,
    copy_state,
    graph_layers,
    rebuild,
)
from keras_compress.quantization.assignment import assign
from keras_compress.quantization.calibration import InputStatistics, calibration_batches
from keras_compress.quantization.lsq import LSQQuantizer
from keras_compress.quantization.quantizer import Quantizer
from keras_compress.quantization.stats import StatsQuantizer
from keras_compress.quantization.supported import matrices, refusal
from keras_compress.quantization.wrapper import EXAMPLE, QuantizeAware
from keras_reweight.core.selection import layers_by_path, select_layers
from keras_reweight.core.validation import check_built, check_choice

_METHODS = {"lsq": LSQQuantizer, "stats": StatsQuantizer}


def quantize_aware(
    model: keras.Model,
    *,
    weights: Any = 4,
    activations: Any = None,
    layers: Any = None,
    calibration_data: Any = None,
    method: str = "lsq",
) -> keras.Model:
    """A copy of a model that trains under quantization.

    Use it on a trained model, then `compile` and `fit` the result for a few epochs with a small
    learning rate, and `freeze` it to get a plain Keras model back. Layers with weight matrices are
    replaced by `QuantizeAware` layers of the same name (`result.get_layer("dense").layer` is the
    layer itself); the rest, the weights and the `trainable` flags are copied. The given model is
    left untouched. Functional models (several inputs and outputs, shared layers, nested models)
    and Sequential models are rewritten; a shared layer is wrapped once. The result is not compiled.

    `quantization_summary(result)` tells what was quantized and what was not, and why.

    Args:
        model: Built Functional or Sequential `keras.Model`.
        weights: Bits of the weight matrices: an integer from 2 to 8, `"int2"` to `"int8"`, a
            `Quantizer` or its config (copied for each matrix), or `None` for float weights. Or a
            dict from layer names, glob patterns such as `"conv*"` or compiled `re.Pattern`
            (searched in the path) to these; a name comes before patterns, the first pattern that
            matches before later ones, layers without a match stay float. Defaults to `4`.
        activations: The same for the inputs of these layers, one learned scale each; `None` leaves
            activations float. Whether a range is signed follows from the calibration data.
            Defaults to `None`.
        layers: Layers to consider: names, `re.Pattern`, predicates, layers, or a list of these;
            `None` for all. Defaults to `None`.
        calibration_data: Model inputs for the activation scales: an array, a structure of arrays,
            or an iterable of batches (`inputs` or `(inputs, targets, ...)`), of any shape and dtype
            the model takes. Needed with `activations`, refused without. Defaults to `None`.
        method: How plain bits of `weights` are read: `"lsq"` for `LSQQuantizer`, `"stats"` for
            `StatsQuantizer`. Defaults to `"lsq"`.

    Returns:
        A new `keras.Model` of the same kind, uncompiled.

    Raises:
        TypeError: If `model` is no `keras.Model` or an argument is of a wrong kind.
        ValueError: If the model is not built or is subclassed, bits are outside 2 to 8, a name or
            pattern matches no layer, no layer is left to quantize, a kernel is not finite, or
            calibration data are missing, unused or unusable.

    Example:

    ```python
    import numpy as np
    import keras
    import keras_compress as kc

    x = np.random.default_rng(0).normal(size=(64, 8)).astype("float32")
    y = x.sum(axis=1, keepdims=True)
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(16, "relu"),
                              keras.layers.Dense(1)])
    quantized = kc.quantize_aware(model, weights=4, activations=8, calibration_data=x)
    quantized.compile("adam", "mse")
    quantized.fit(x, y, verbose=0)
    ```

    Reference:
        Esser et al., "Learned Step Size Quantization", ICLR 2020, arXiv 1902.08153; Liu et al.,
        "Oscillation-free Quantization for Low-bit Vision Transformers", ICML 2023,
        arXiv 2302.02210.

    Deviations:
        Activation scales start from statistics of the whole calibration set, seen with quantized
        weights and float activations, not from the first training batch.

    Cost:
        One copy of the model; with `activations` a second one for a while and one eager forward
        pass over the calibration data.
    """
    check_built(model, "quantize_aware")
    check_rebuildable(model, "quantize_aware", EXAMPLE)
    check_choice("method", method, _METHODS)
    paths = {id(layer): path for path, layer in layers_by_path(model).items()}
    candidates = {paths[id(layer)]: layer for layer in graph_layers(model)}
    for_weights = assign("weights", weights, candidates, refusal)
    for_inputs = assign("activations", activations, candidates, refusal)
    _check_calibration(for_inputs, calibration_data)

    def accept(layer):
        if reason := refusal(layer):
            return reason
        if id(layer) in for_weights or id(layer) in for_inputs:
            return None
        return "`weights` and `activations` assign nothing to it"

    selection = select_layers(model, layers, accept=accept, candidates=candidates.values())
    touched = {id(layer) for layer in selection.touched}
    _check_finite(selection.touched)
    weight_quantizers = {
        key: value if isinstance(value, Quantizer) else _METHODS[method](value)
        for key, value in for_weights.items()
        if key in touched
    }
    statistics = {}
    input_quantizers = {}
    for_inputs = {key: value for key, value in for_inputs.items() if key in touched}
    if for_inputs:
        probe, pairs = _wrap(model, touched, weight_quantizers, {})
        statistics = _observe(probe, pairs, for_inputs, calibration_data, len(model.inputs))
        for key, value in for_inputs.items():
            if not isinstance(value, Quantizer):
                value = LSQQuantizer(value, signed=statistics[key].smallest < 0.0)
            input_quantizers[key] = value
    result, pairs = _wrap(model, touched, weight_quantizers, input_quantizers)
    for key, observed in statistics.items():
        pairs[key][1].activation_quantizer.set_statistic(observed.mean)
    return result


def _wrap(model, touched, weight_quantizers, input_quantizers):
    def replace(layer):
        key = id(layer)
        if key not in touched:
            return copy_layer(layer)
        return QuantizeAware(
            copy_layer(layer),
            weight=weight_quantizers.get(key),
            activation=input_quantizers.get(key),
        )

    result, pairs = rebuild(model, replace)
    for key, (old, new) in pairs.items():
        if key not in touched:
            copy_state(old, new)
            continue
        new.trainable = old.trainable
        copy_state(old, new.layer)
        for variable, quantizer in new.quantized_matrices().values():
            quantizer.initialize_from(variable)
    return result, pairs


def _observe(probe, pairs, for_inputs, calibration_data, num_inputs):
    statistics = {}
    for key, value in for_inputs.items():
        wrapper = pairs[key][1]
        config = value.get_config() if isinstance(value, Quantizer) else {"bits": value}
        kind = type(value) if isinstance(value, Quantizer) else LSQQuantizer
        if config.get("axis", -1) == -1:
            config["axis"] = None
        statistics[key] = InputStatistics(wrapper.name, kind.from_config(config))
        wrapper.observer = statistics[key]
    for batch in calibration_batches(calibration_data, num_inputs):
        probe(batch, training=False)
    for observed in statistics.values():
        observed.mean  # noqa: B018  raises if no batch came
    return statistics


def _check_calibration(for_inputs, calibration_data):
    if for_inputs and calibration_data is None:
        raise ValueError(
            "`activations` needs `calibration_data`, a few batches of typical model inputs, to "
            "choose the activation scales."
        )
    if not for_inputs and calibration_data is not None:
        raise ValueError(
            "`calibration_data` is only used for `activations`, which assigns nothing. "
            "Pass `activations=8`, or leave `calibration_data` out."
        )


def _check_finite(layers):
    for layer in layers:
        for matrix in matrices(layer):
            values = keras.ops.convert_to_numpy(keras.ops.cast(matrix.variable.value, "float32"))
            if not np.all(np.isfinite(values)):
                raise ValueError(
                    f"Layer {layer.name!r}: {matrix.name} has values that are not finite."
                )
