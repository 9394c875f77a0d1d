"""Rewriting a model for quantization-aware training."""

from __future__ import annotations

from typing import Any

import keras

from keras_compress._rebuild import check_rebuildable, copy_layer, copy_state, is_open, rebuild
from keras_compress.quantization._aware_plan import UnitPlan, input_quantizer, make_plan
from keras_compress.quantization._given_quantizers import merged
from keras_compress.quantization._subclassed import (
    check_still_runs,
    copy_subclassed,
    replace_held,
    same_places,
)
from keras_compress.quantization.calibration import InputStatistics, calibration_batches
from keras_compress.quantization.preserved import check_preserve
from keras_compress.quantization.wrapper import EXAMPLE, QuantizeAware
from keras_compress.quantizers.lsq import LSQQuantizer
from keras_compress.quantizers.methods import METHODS
from keras_compress.quantizers.quantizer import Quantizer
from keras_reweight.core.validation import check_built, check_choice


def quantize_aware(
    model: keras.Model,
    *,
    weights: Any = 4,
    activations: Any = None,
    layers: Any = None,
    calibration_data: Any = None,
    method: str = "lsq",
    preserve: str | tuple[str, ...] | None = None,
) -> keras.Model:
    """A copy of a model that trains under quantization.

    Use it on a trained model, then `compile` and `fit` the result for a few epochs with a small
    learning rate, and `freeze` it to get a plain Keras model back. Layers with weight matrices are
    replaced by `QuantizeAware` layers of the same name (`result.get_layer("dense").layer` is the
    layer itself), whose documentation lists what is supported; attention layers and other layers
    made of layers are wrapped as a whole. The rest, the weights and the `trainable` flags are
    copied. The given model is left untouched. Functional models (several inputs and outputs, shared
    layers, nested models, also those of KerasHub) and Sequential models are rewritten; a shared
    layer is wrapped once. The result is not compiled.

    A subclassed model is made again from its configuration, and the layers in its attributes are
    wrapped. Such a result is saved as weights; to load them, make it in the same way.

    Batch normalization stays a layer of its own unless the model comes from
    `fold_batch_norm(model, trainable=True)`. `quantize_outputs` quantizes what layers and additions
    give. `quantization_summary(result)` tells what was quantized and what was not, and why.

    Args:
        model: Built `keras.Model`.
        weights: Bits of the weight matrices: an integer from 1 to 8, `"int1"` to `"int8"`, a method
            with its bits (`"stats3"`), `"binary"`, `"ternary"`, `"e4m3"`, `"e5m2"`, `"e2m1"`, a
            `Quantizer` or its config (copied for each matrix), or `None` for float weights. Or a
            dict from names or paths of layers, of containers around them or of single matrices
            (`"lstm/recurrent_kernel"`), `"<first>"` or `"<last>"`, glob patterns such as `"conv*"`
            or compiled `re.Pattern` (searched in the path) to these; a name comes before patterns,
            that of a part before that of its container, the first pattern that matches before
            later ones; layers without a match stay float. Defaults to `4`.
        activations: The same for the inputs of these layers, one learned scale each; `None` leaves
            activations float. Whether a range is signed follows from the calibration data.
            Defaults to `None`.
        layers: Layers to consider: names, `re.Pattern`, predicates, layers, or a list of these;
            `None` for all. Defaults to `None`.
        calibration_data: Model inputs for the activation scales: an array, a structure of arrays,
            or an iterable of batches (`inputs` or `(inputs, targets, ...)`), of any shape and dtype
            the model takes. Needed with `activations`, refused without. Defaults to `None`.
        method: How plain bits of `weights` are read: `"lsq"` for `LSQQuantizer` (one bit:
            `BinaryQuantizer`), `"stats"` for `StatsQuantizer`, `"lsq_plus"`, `"minmax"`,
            `"moving_average"`, `"percentile"`, `"mse"`, `"power"` or `"codebook"` for the quantizer
            of that name. Defaults to `"lsq"`.
        preserve: `"sparsity"` to hold weights that are zero at zero, `"clusters"` to let weights
            that are equal stay equal (at most 256 different values a matrix), a tuple of both, or
            `None`. Defaults to `None`.

    Returns:
        A new `keras.Model` of the same kind, uncompiled.

    Raises:
        TypeError: If `model` is no `keras.Model` or an argument is of a wrong kind.
        ValueError: If the model is not built, is subclassed and cannot be made again or uses its
            layers otherwise than by calling them, bits are out of range, a name or pattern matches
            no layer, no layer is left to quantize, a kernel is not finite, calibration data are
            missing, unused or unusable, or `preserve` is impossible.

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
    check_choice("method", method, METHODS)
    if is_open(model):
        check_rebuildable(model, "quantize_aware", EXAMPLE)
    plans = make_plan(model, weights, activations, layers, METHODS[method])
    for plan in plans.values():
        check_preserve(preserve, list(plan.weights.values()), plan.layer)
    with_inputs = any(plan.inputs for plan in plans.values())
    _check_calibration(with_inputs, calibration_data)
    statistics: dict[tuple[int, str], InputStatistics] = {}
    inputs: dict[tuple[int, str], Quantizer] = {}
    if with_inputs:
        probe, wrappers = _wrap(model, plans, {}, preserve)
        statistics = _observe(probe, wrappers, plans, calibration_data)
        inputs = {
            (key, name): input_quantizer(bits, statistics[key, name].smallest)
            for key, plan in plans.items()
            for name, bits in plan.inputs.items()
        }
    result, wrappers = _wrap(model, plans, inputs, preserve)
    for (key, name), observed in statistics.items():
        wrappers[key].input_quantizers[name].set_statistic(observed.mean)
    return result


def _wrap(
    model: keras.Model,
    plans: dict[int, UnitPlan],
    inputs: dict[tuple[int, str], Quantizer],
    preserve: Any,
) -> tuple[keras.Model, dict[int, QuantizeAware]]:
    """A copy of the model, and by the `id` of a layer the wrapper of its copy."""

    def wrapper(key, copy):
        plan = plans[key]
        quantizers = {name: inputs[key, name] for name in plan.inputs if (key, name) in inputs}
        return QuantizeAware(
            copy,
            weight=merged(plan.weights, [one.name for part in plan.parts for one in part.matrices]),
            activation=merged(quantizers, [part.name for part in plan.parts]),
            preserve=preserve,
        )

    if is_open(model):
        result, wrappers = _wrap_graph(model, plans, wrapper)
    else:
        result, wrappers = _wrap_attributes(model, plans, wrapper)
    for one in wrappers.values():
        one.remember_clusters()
        values = one.float_matrices()
        for name, quantizer in one.weight_quantizers.items():
            quantizer.initialize_from(values[name])
    return result, wrappers


def _wrap_graph(model, plans, wrapper):
    def replace(layer):
        copy = copy_layer(layer)
        return wrapper(id(layer), copy) if id(layer) in plans else copy

    result, pairs = rebuild(model, replace)
    for key, (old, new) in pairs.items():
        if key in plans:
            new.trainable = old.trainable
            copy_state(old, new.layer)
        else:
            copy_state(old, new)
    return result, {key: pairs[key][1] for key in plans}


def _wrap_attributes(model, plans, wrapper):
    result = copy_subclassed(model, "quantize_aware")
    wrappers, replacements = {}, {}
    for old, copy in same_places(model, result):
        if id(old) in plans and id(old) not in wrappers:
            wrappers[id(old)] = replacements[id(copy)] = wrapper(id(old), copy)
    replace_held(result, replacements)
    # The first call builds the wrappers.
    check_still_runs(result, list(wrappers.values()), "quantize_aware")
    return result, wrappers


def _observe(probe, wrappers, plans, calibration_data):
    statistics = {}
    for key, plan in plans.items():
        for name, value in plan.inputs.items():
            config = value.get_config() if isinstance(value, Quantizer) else {"bits": value}
            kind = type(value) if isinstance(value, Quantizer) else LSQQuantizer
            if config.get("axis", -1) == -1:
                config["axis"] = None
            label = "/".join(filter(None, [plan.layer.name, name]))
            statistics[key, name] = InputStatistics(label, kind.from_config(config))
            wrappers[key].observers[name] = statistics[key, name]
    num_inputs = len(probe.inputs) if is_open(probe) else 1
    for batch in calibration_batches(calibration_data, num_inputs):
        probe(batch, training=False)
    for observed in statistics.values():
        observed.mean  # noqa: B018  raises if no batch came
    return statistics


def _check_calibration(with_inputs, calibration_data):
    if with_inputs and calibration_data is None:
        raise ValueError(
            "`activations` needs `calibration_data`, a few batches of typical model inputs, to "
            "choose the activation scales."
        )
    if not with_inputs and calibration_data is not None:
        raise ValueError(
            "`calibration_data` is only used for `activations`, which assigns nothing. "
            "Pass `activations=8`, or leave `calibration_data` out."
        )
