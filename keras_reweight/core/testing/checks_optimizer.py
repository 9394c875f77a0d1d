"""Checks of optimizers, on weights whose gradients are known in advance."""

from __future__ import annotations

import functools
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_reweight.core.testing import checks_common, tasks
from keras_reweight.core.testing.backends import Compiled
from keras_reweight.core.testing.catalog import Row
from keras_reweight.core.testing.compare import (
    assert_all_close,
    assert_finite,
    differ,
    identical,
    snapshot,
)
from keras_reweight.core.testing.known_gradients import (
    SetRate,
    compiled_model,
    follow,
    state_of,
    traces_of,
    weights_of,
)

NUM_STEPS = 6
# The iterations and the learning rate.
VARIABLES_OF_KERAS = 2


def default_inputs() -> dict[str, list[np.ndarray]]:
    """A matrix and a vector, and for each of them the gradients of all steps in one array."""
    generator = np.random.default_rng(3)
    shapes, scales = [(3, 2), (4,)], (2.0, 0.3)
    return {
        "start": [generator.normal(size=shape).astype("float32") for shape in shapes],
        "gradients": [
            (scale * generator.normal(size=(NUM_STEPS, *shape))).astype("float32")
            for shape, scale in zip(shapes, scales, strict=True)
        ],
    }


def inputs_of(row: Row) -> dict[str, list[np.ndarray]]:
    """The row's own weights and gradients or the default ones."""
    return row.inputs() if row.inputs is not None else default_inputs()


def train(
    row: Row, inputs: dict[str, Any] | None = None, *, eager: bool = True, **changes: Any
) -> keras.Model:
    """A model after all steps."""
    inputs = inputs_of(row) if inputs is None else inputs
    return follow(compiled_model(row.make(**changes), inputs["start"], eager), inputs["gradients"])


@functools.lru_cache(maxsize=1)
def baseline(row: Row) -> keras.Model:
    """The eager training that the others are compared with."""
    return train(row)


def use(row: Row, changes: dict[str, Any]) -> None:
    """Construct with changed arguments, then make one step."""
    inputs = inputs_of(row)
    variables = [keras.Variable(array) for array in inputs["start"]]
    first = [ops.convert_to_tensor(array[0]) for array in inputs["gradients"]]
    row.make(**changes).apply(first, variables)


def _assert_expected(row, model, inputs, what):
    expected = [np.asarray(array) for array in row.expected(inputs)]
    assert_all_close(weights_of(model), snapshot(expected), what)


def check_learning_rate(row: Row) -> None:
    """A number, a schedule and a rate set between steps: saved, and followed by every step."""
    first = float(ops.convert_to_numpy(row.make().learning_rate))
    given = row.make_arguments().get("learning_rate", first)
    if not callable(given):
        assert np.isclose(first, given), f"`learning_rate`={given!r} is stored as {first!r}."
    rates = [first, 0.5 * first, 0.25 * first]
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([1, 3], rates)
    made = row.make(learning_rate=schedule)
    loaded = checks_common.saved_and_loaded(made)
    assert loaded.get_config() == made.get_config(), "a saved schedule is another one."
    inputs = inputs_of(row)
    scheduled = follow(compiled_model(loaded, inputs["start"]), inputs["gradients"])
    assert differ(weights_of(scheduled), weights_of(baseline(row))), "a schedule has no effect."
    by_step = [float(ops.convert_to_numpy(schedule(step))) for step in range(NUM_STEPS)]
    model = compiled_model(row.make(learning_rate=first), inputs["start"], eager=False)
    follow(model, inputs["gradients"], [SetRate(by_step)])
    assert_all_close(
        weights_of(model), weights_of(scheduled), "weights with a rate set in every step"
    )
    _assert_traced_once(model)


def check_slots_come_with_build(row: Row) -> None:
    """`__init__` makes no variables beyond those of Keras, and only the first `build` does."""
    made = row.make()
    extra = len(made.variables) - VARIABLES_OF_KERAS
    assert extra <= 0, f"`__init__` makes {extra} variables; make them in `build`."
    variables = [keras.Variable(array) for array in inputs_of(row)["start"]]
    made.build(variables)
    count = len(made.variables)
    made.build(variables)
    assert len(made.variables) == count, "a second `build` makes further variables."


def check_steps_equal_reference(row: Row) -> dict[str, np.ndarray]:
    """The weights after training steps are those of the NumPy float64 rule."""
    _assert_expected(row, baseline(row), inputs_of(row), f"weights after {NUM_STEPS} steps")
    return weights_of(baseline(row))


@functools.cache
def _traces_of_keras():
    inputs = default_inputs()
    # With slots: TensorFlow traces once more where variables are made in the first step.
    optimizer = keras.optimizers.SGD(0.1, momentum=0.5)
    model = compiled_model(optimizer, inputs["start"], eager=False)
    return traces_of(follow(model, inputs["gradients"]))


def _assert_traced_once(model):
    if keras.backend.backend() == "torch":  # whose steps Keras does not compile
        return
    traces, plain = traces_of(model), _traces_of_keras()
    assert traces <= plain, f"the train step was traced {traces} times, with SGD {plain} times."


def _after_a_run_without_values(row):
    """The weights where the first step ran once more on tensors without values, as in tracing."""
    inputs = inputs_of(row)
    variables = [keras.Variable(array) for array in inputs["start"]]
    made = row.make()
    made.build(variables)
    step = Compiled(lambda *gradients: made.apply(list(gradients), variables))
    for gradients in zip(*inputs["gradients"], strict=True):
        step(*gradients)
    return snapshot(variables)


def check_compiled_equals_eager(row: Row) -> None:
    """The compiled training gives the weights and the state of the eager one, compiled once."""
    if keras.backend.backend() == "torch":
        found = _after_a_run_without_values(row)
        assert_all_close(found, weights_of(baseline(row)), "weights, traced and eager")
    model = train(row, eager=False)
    assert_all_close(weights_of(model), weights_of(baseline(row)), "weights, jitted and eager")
    assert_all_close(state_of(model), state_of(baseline(row)), "state, jitted and eager")
    _assert_traced_once(model)


def check_resumed_equals_uninterrupted(row: Row) -> None:
    """Half of the steps, a `.keras` file, the other half: bit for bit the whole training."""
    inputs = inputs_of(row)
    halves = [
        [array[part] for array in inputs["gradients"]]
        for part in (slice(NUM_STEPS // 2), slice(NUM_STEPS // 2, None))
    ]
    model = follow(compiled_model(row.make(), inputs["start"]), halves[0])
    loaded = tasks.through_keras_file(model)
    assert type(loaded.optimizer) is row.target, f"a file gives back {loaded.optimizer!r}."
    follow(loaded, halves[1])
    assert identical(weights_of(loaded), weights_of(baseline(row))), (
        "an interrupted and resumed training gives other weights."
    )
    assert identical(state_of(loaded), state_of(baseline(row))), (
        "an interrupted and resumed training gives another state of the optimizer."
    )


def check_gradient_accumulation(row: Row) -> None:
    """Two accumulated gradients are one step with their mean, compiled and eager."""
    inputs = inputs_of(row)
    means = [array.reshape(-1, 2, *array.shape[1:]).mean(1) for array in inputs["gradients"]]
    for eager in (True, False):
        model = train(row, eager=eager, gradient_accumulation_steps=2)
        what = f"weights with gradient_accumulation_steps=2, eager {eager}"
        _assert_expected(row, model, {**inputs, "gradients": means}, what)


def _in_half_precision(arrays, dtype):
    return [ops.convert_to_numpy(ops.cast(ops.cast(array, dtype), "float32")) for array in arrays]


def check_mixed_precision(row: Row) -> None:
    """Steps in both mixed precisions are those of the rounded gradients.

    Under a loss scale a step that overflows is left out and leaves no trace.
    """
    inputs = inputs_of(row)
    for policy, dtype in (("mixed_float16", "float16"), ("mixed_bfloat16", "bfloat16")):
        optimizer, gradients = row.make(), inputs["gradients"]
        if dtype == "float16":
            # A scale at which the first of the gradients overflows, and only that one.
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer, initial_scale=16.0)
            gradients = [
                np.concatenate([np.full_like(array[:1], 6e4), array]) for array in gradients
            ]
        with tasks.dtype_policy(policy):
            model = follow(compiled_model(optimizer, inputs["start"]), gradients)
        assert_finite(weights_of(model), f"weights after training in {policy}")
        rounded = _in_half_precision(inputs["gradients"], dtype)
        what = f"weights after training in {policy}"
        _assert_expected(row, model, {**inputs, "gradients": rounded}, what)


def check_knob_and_data_change_the_training(row: Row) -> None:
    """Other arguments or other gradients give other weights; the same give the same."""
    base, inputs = weights_of(baseline(row)), inputs_of(row)
    assert identical(base, weights_of(train(row))), "two trainings give different weights."
    assert row.knob, "the catalog row has no `knob`."
    assert differ(base, weights_of(train(row, **row.make_knob()))), (
        f"{row.make_knob()} does not change the training."
    )
    other = [np.ascontiguousarray(0.5 * array[::-1]) for array in inputs["gradients"]]
    found = weights_of(train(row, {**inputs, "gradients": other}))
    assert differ(base, found), "other gradients do not change the training."


def check_zero_gradients(row: Row) -> None:
    """Gradients that are all zero leave weights and state finite."""
    inputs = inputs_of(row)
    zeros = [np.zeros_like(array[:2]) for array in inputs["gradients"]]
    model = train(row, {**inputs, "gradients": zeros})
    assert_finite(weights_of(model), "weights after gradients of zero")
    assert_finite(state_of(model), "state after gradients of zero")


CHECKS = (
    *checks_common.DOCUMENTED,
    *checks_common.CONFIGURABLE,
    *checks_common.bad_argument_checks(use),
    check_learning_rate,
    check_slots_come_with_build,
    check_steps_equal_reference,
    check_compiled_equals_eager,
    check_resumed_equals_uninterrupted,
    check_gradient_accumulation,
    check_mixed_precision,
    check_knob_and_data_change_the_training,
    check_zero_gradients,
)
