"""Checks of layers, and of quantizers, which are layers with codes."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_reweight.core.testing import checks_common, tasks
from keras_reweight.core.testing.backends import Compiled
from keras_reweight.core.testing.catalog import Row
from keras_reweight.core.testing.compare import assert_close, assert_finite, differ, identical
from keras_reweight.core.testing.gradient_check import assert_gradient


def inputs_of(row: Row) -> dict[str, Any]:
    """The row's own input or a batch of features."""
    return row.inputs() if row.inputs is not None else {"inputs": tasks.features()}


def built(row: Row, array: Any, *, random_seed: int = 0, **changes: Any) -> keras.layers.Layer:
    """A layer with the same initial weights every time, ready for `array`."""
    keras.utils.set_random_seed(random_seed)
    layer = row.make(**changes)
    if row.kind == "quantizer":
        layer.initialize_from(array)
    elif not layer.built:
        layer.build(array.shape)
    return layer


def compute(row: Row, array: Any, **changes: Any) -> np.ndarray:
    """The output as a NumPy array."""
    return ops.convert_to_numpy(built(row, array, **changes)(array))


def use(row: Row, changes: dict[str, Any]) -> None:
    """Construct with changed arguments, then call."""
    compute(row, inputs_of(row)["inputs"], **changes)


def check_construction_makes_no_weights(row: Row) -> None:
    """Weights come with the shape of the input, not before."""
    arguments = row.make_arguments()
    if any(isinstance(value, keras.layers.Layer) for value in arguments.values()):
        return
    layer = row.target(**arguments)
    assert not layer.built and not layer.weights, "`__init__` builds the layer."


def check_value_equals_reference(row: Row) -> dict[str, np.ndarray]:
    """Equal to the NumPy float64 formula of the input and of the layer's weights."""
    inputs = inputs_of(row)
    layer = _with_fixed_weights(row, inputs["inputs"])
    weights = [ops.convert_to_numpy(v).astype("float64") for v in layer.weights]
    found = ops.convert_to_numpy(layer(inputs["inputs"]))
    assert_close(found, row.expected(inputs, weights=weights), "the output")
    return {"output": found}


def _with_fixed_weights(row, array):
    """A built layer with the same weights on every backend: random ones differ between them."""
    layer, other = (built(row, array, random_seed=seed) for seed in (0, 1))
    generator = np.random.default_rng(11)
    for variable, drawn_again in zip(layer.weights, other.weights, strict=True):
        if differ(variable, drawn_again):
            variable.assign(generator.normal(scale=0.5, size=variable.shape).astype("float32"))
    return layer


def check_gradient_equals_reference(row: Row) -> None:
    """The gradient with respect to the input is the one of the formula."""
    if row.gradient_of == "":
        return
    inputs = inputs_of(row)
    layer = built(row, inputs["inputs"])
    weights = [ops.convert_to_numpy(v).astype("float64") for v in layer.weights]
    assert row.reference_gradient is not None or row.kind != "quantizer", (
        "rounding has no slope to compare with: name a `reference_gradient`."
    )
    assert_gradient(row, lambda value: layer(value), inputs, "inputs", weights=weights)


def check_compiled_equals_eager(row: Row) -> None:
    """The compiled layer gives the same output and is compiled once."""
    array = inputs_of(row)["inputs"]
    layer = built(row, array)
    compiled = Compiled(lambda value: layer(value))
    for factor in (1.0, 0.5):
        value = (array * factor).astype(array.dtype)
        found = ops.convert_to_numpy(compiled(value))
        assert_close(found, ops.convert_to_numpy(layer(value)), "the compiled output")
    assert compiled.traces == 1, f"compiled {compiled.traces} times for two batches."


def check_shapes_and_dtypes(row: Row) -> None:
    """Symbolic output equals the real one in shape and dtype, in every precision."""
    array = inputs_of(row)["inputs"]
    for policy in ("float32", "mixed_float16", "mixed_bfloat16"):
        half = ops.cast(ops.convert_to_tensor(array), keras.DTypePolicy(policy).compute_dtype)
        with tasks.dtype_policy(policy):
            layer = built(row, array)
        outputs = layer(half)
        shape = tuple(layer.compute_output_shape(array.shape))
        assert shape == tuple(outputs.shape), f"computed {shape}, gave {tuple(outputs.shape)}."
        symbolic = layer(keras.KerasTensor(array.shape, dtype=half.dtype))
        assert symbolic.dtype == keras.backend.standardize_dtype(outputs.dtype), (
            f"{policy}: symbolic dtype {symbolic.dtype}, real {outputs.dtype}."
        )
        assert symbolic.dtype == keras.backend.standardize_dtype(half.dtype), (
            f"{policy}: {half.dtype} inputs give {symbolic.dtype}."
        )
        assert_finite(ops.convert_to_numpy(ops.cast(outputs, "float32")), f"output in {policy}")


def check_knob_and_data_change_the_output(row: Row) -> None:
    """Other arguments or another input give another output."""
    array = inputs_of(row)["inputs"]
    base = compute(row, array)
    assert identical(base, compute(row, array)), "two calls give different outputs."
    if row.make_arguments():
        assert row.knob, "the catalog row has no `knob`."
        assert differ(base, compute(row, array, **row.make_knob())), (
            f"{row.make_knob()} does not change the output."
        )
    assert differ(base, compute(row, np.ascontiguousarray(array[::-1]))), "data has no effect."


def check_trains_and_saves(row: Row) -> None:
    """Inside a model: trains jitted as it does eagerly, and survives a `.keras` file."""
    array = inputs_of(row)["inputs"]
    results = []
    for run_eagerly in (False, True):
        keras.utils.set_random_seed(0)
        before = keras.layers.Dense(array.shape[-1], kernel_initializer="identity")
        layers = [keras.Input(array.shape[1:]), before, built(row, array)]
        # A layer may reduce a sequence or an image itself.
        rank = len(layers[-1].compute_output_shape(array.shape))
        if rank == 3:
            layers.append(keras.layers.GlobalAveragePooling1D())
        elif rank == 4:
            layers.append(keras.layers.GlobalAveragePooling2D())
        elif rank == 5:
            layers.append(keras.layers.GlobalAveragePooling3D())
        model = keras.Sequential([*layers, keras.layers.Dense(tasks.NUM_CLASSES)])
        start = [ops.convert_to_numpy(v).copy() for v in model.trainable_variables]
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(0.01), loss, run_eagerly=run_eagerly)
        targets = np.arange(len(array)) % tasks.NUM_CLASSES
        model.fit(array, targets, batch_size=len(array), epochs=2, shuffle=False, verbose=0)
        results.append([ops.convert_to_numpy(v).copy() for v in model.weights])
        assert_finite(results[-1], "weights after training")
        assert differ(start, [ops.convert_to_numpy(v) for v in model.trainable_variables])
    for jitted, eager in zip(*results, strict=True):
        assert_close(jitted, eager, "weights after jitted training", of_largest=1e-5)
    loaded = tasks.through_keras_file(model)
    assert_close(
        ops.convert_to_numpy(loaded(array)), ops.convert_to_numpy(model(array)), "loaded output"
    )


def check_edges(row: Row) -> None:
    """Batch of one, zeros and large values: finite."""
    array = inputs_of(row)["inputs"]
    layer = built(row, array)
    if row.kind != "quantizer":  # a quantizer's first axis may be anything
        assert_finite(ops.convert_to_numpy(layer(array[:1])), "output of a batch of one")
    for case, value in {"zeros": np.zeros_like(array), "large": array * 1e4}.items():
        assert_finite(ops.convert_to_numpy(layer(value.astype(array.dtype))), f"output of {case}")


# Quantizers ----------------------------------------------------------------------------------


def check_codes_give_the_output(row: Row) -> None:
    """Integer codes inside their range; dequantized they are the output, bit for bit."""
    array = inputs_of(row)["inputs"]
    quantizer = built(row, array)
    codes, scale, zero_point = quantizer.codes(array)
    found = ops.convert_to_numpy(codes)
    low, high = quantizer.code_range
    assert found.dtype == np.int32 and found.min() >= low and found.max() <= high, (
        f"{found.dtype} codes {found.min()}..{found.max()}, the range is {low}..{high}."
    )
    assert high - low + 1 <= 2**quantizer.bits, f"{high - low + 1} codes in {quantizer.bits} bits."
    restored = ops.convert_to_numpy(quantizer.dequantize(codes, scale, zero_point))
    assert np.array_equal(restored, ops.convert_to_numpy(quantizer(array))), (
        "dequantized codes are not the output of the quantizer."
    )


def check_all_zeros_initialize(row: Row) -> None:
    """An all-zero kernel is a valid start."""
    array = np.zeros_like(inputs_of(row)["inputs"])
    assert_finite(compute(row, array), "output of an all-zero kernel")


CHECKS = (
    *checks_common.DOCUMENTED,
    *checks_common.CONFIGURABLE,
    *checks_common.bad_argument_checks(use),
    check_construction_makes_no_weights,
    check_value_equals_reference,
    check_gradient_equals_reference,
    check_compiled_equals_eager,
    check_shapes_and_dtypes,
    check_knob_and_data_change_the_output,
    check_trains_and_saves,
    check_edges,
)

QUANTIZER_CHECKS = (*CHECKS, check_codes_give_the_output, check_all_zeros_initialize)
