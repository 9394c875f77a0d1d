"""Checks of callbacks: what they do to a training, on every kind of model, and that they leave."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from keras_reweight.core.testing import checks_common, tasks
from keras_reweight.core.testing.catalog import Row
from keras_reweight.core.testing.compare import (
    assert_all_close,
    assert_finite,
    differ,
    identical,
    snapshot,
)
from keras_reweight.core.testing.fitting import (
    EPOCHS,
    Fitted,
    baseline,
    fit,
    jitted,
    optimizer_variables,
    plain,
    plain_traces,
    sequential,
    state_of,
    subclassed,
    task_of,
)

STEPS = EPOCHS * tasks.STEPS_PER_EPOCH


def use(row: Row, changes: dict[str, Any]) -> None:
    """Construct with changed arguments, then train for an epoch."""
    fit(row, callback=row.make(**changes), epochs=1)


def _assert_trained(fitted: Fitted, what: str) -> None:
    keras.utils.set_random_seed(0)
    assert_finite(fitted.weights, f"weights after {what}")
    assert any(array.any() for array in fitted.weights.values()), f"{what}: all weights are zero."


def _assert_same(found: Fitted, expected: Fitted, what: str) -> None:
    # Two orders of the same float32 sums: a few units in the last place of the largest weight.
    assert_all_close(found.weights, expected.weights, f"weights, {what}", of_largest=1e-5)
    assert_all_close(found.state, expected.state, f"state, {what}", of_largest=1e-5)


def check_trains_every_kind_of_model(row: Row) -> dict[str, np.ndarray]:
    """Sequential, Functional and subclassed models."""
    for fitted in (baseline(row), sequential(row), subclassed(row)):
        _assert_trained(fitted, f"training a {type(fitted.model).__name__} model")
    return {} if task_of(row).draws else baseline(row).weights


def check_two_outputs(row: Row) -> None:
    """A model with two outputs is trained, or refused with the reason."""
    try:
        _assert_trained(fit(row, build=tasks.two_outputs, epochs=1), "training two outputs")
    except ValueError as error:
        assert "output" in str(error), f"two outputs are refused with {error!r}."


def check_jitted_equals_eager(row: Row) -> None:
    """The compiled step computes what the eager step does; state advances in both."""
    _assert_same(jitted(row), baseline(row), "jitted and eager")


def check_compiles_once(row: Row) -> None:
    """One compilation for the whole fit, however the callback's values change."""
    functions, traces = len(jitted(row).spy.train_functions), jitted(row).traces
    assert functions == 1, f"the train function was made {functions} times."
    assert traces <= plain_traces() or keras.backend.backend() == "torch", (
        f"the train step was traced {traces} times, without the callback {plain_traces()} times."
    )


def check_state_advances(row: Row) -> None:
    """The state in the step is written: it changes, and the step counter counts every step."""
    made = row.make()
    spec = made.state_spec() if hasattr(made, "state_spec") else {}
    state = baseline(row).state
    assert set(spec) <= set(state), f"`get_state` lacks {sorted(set(spec) - set(state))}."
    if spec:
        assert differ({key: state[key] for key in spec}, spec), "training leaves the state as is."
    if row.step_entry in state:
        count = int(state[row.step_entry])
        assert count == STEPS, f"`{row.step_entry}` is {count} after {STEPS} training steps."


def check_variables_live_in_the_step(row: Row) -> None:
    """No variable that only the callback holds: a compiled JAX step would never see it change."""
    assert not baseline(row).spy.strays, (
        f"variables in {sorted(baseline(row).spy.strays)} are neither the model's nor in a state "
        "carrier."
    )


def check_resumed_equals_uninterrupted(row: Row) -> None:
    """Half a training, a new process, the other half: bit for bit the whole training."""
    whole = baseline(row)
    fresh = row.make()
    if hasattr(fresh, "get_config"):
        fresh = row.target.from_config(fresh.get_config())
    resumed = fit(row, callback=fresh, build=tasks.counting, resume_from=whole.spy.snapshot)
    assert identical(resumed.weights, whole.weights), (
        "an interrupted and resumed training gives other weights."
    )
    assert identical(resumed.state, whole.state), (
        "an interrupted and resumed training gives another state."
    )


def check_can_be_used_again(row: Row) -> None:
    """A used callback, and a copy of it, train a new model as a new callback does."""
    for fitted, what in (
        (sequential(row), "a second fit, of a Sequential model"),
        (subclassed(row), "a fit with a copy of a used callback, of a subclassed model"),
    ):
        found, expected = list(fitted.weights.values()), list(baseline(row).weights.values())
        assert_all_close(found, expected, f"weights after {what}", of_largest=1e-5)
        assert_all_close(fitted.state, baseline(row).state, f"state after {what}", of_largest=1e-5)


def check_leaves_nothing_behind(row: Row) -> None:
    """After fit the model has no attribute, metric or variable that Keras did not put there."""
    with_callback, without = baseline(row).model, plain(row).model
    # Keras adds this one the first time a model is evaluated.
    attributes = set(vars(with_callback)) - {"stop_evaluating"}
    for what, found, expected in (
        ("attributes", attributes, vars(without)),
        ("metrics", [m.name for m in with_callback.metrics], [m.name for m in without.metrics]),
        ("weights", baseline(row).weights, plain(row).weights),
        (
            "optimizer variables",
            optimizer_variables(with_callback),
            optimizer_variables(without),
        ),
    ):
        assert sorted(found) == sorted(expected), (
            f"{what} left behind or missing: {sorted(set(found) ^ set(expected))}."
        )
    assert all(v.constraint is None for v in with_callback.trainable_variables), (
        "constraints are left behind."
    )


def check_knob_and_data_change_the_training(row: Row) -> None:
    """The callback has an effect, and so have its arguments; equal runs are equal."""
    base = baseline(row)
    if row.knob is None:
        assert identical(base.weights, plain(row).weights), "the callback changes the training."
        return
    assert differ(base.weights, plain(row).weights), "the callback has no effect."
    options = [name for name, _ in checks_common.parameters_of(row) if name != "name"]
    assert row.knob or not options, "the catalog row has no `knob`."
    if not row.knob:
        return
    other = fit(row, callback=row.make(**row.make_knob()))
    assert differ(base.weights, other.weights), f"{row.make_knob()} does not change the training."


def check_sample_weight(row: Row) -> None:
    """The user's `sample_weight` still matters, or is refused with its name."""
    weight = np.linspace(0.1, 2.0, tasks.NUM_SAMPLES).astype("float32")
    try:
        weighted = fit(row, sample_weight=weight)
    except ValueError as error:
        assert "sample_weight" in str(error), f"refused without naming `sample_weight`: {error}"
        return
    assert differ(weighted.weights, baseline(row).weights), "`sample_weight` is ignored."


def check_validation_is_left_alone(row: Row) -> None:
    """The validation loss is the plain one, and its batches do not advance the state."""
    found = sequential(row)
    loss = found.model.evaluate(tasks.features(), tasks.labels(), verbose=0)
    np.testing.assert_allclose(found.history["val_loss"][-1], np.ravel(loss)[0], rtol=1e-5)
    if row.step_entry in found.state:
        assert int(found.state[row.step_entry]) == STEPS, "validation advances the state."


def check_mixed_precision(row: Row) -> None:
    """Trains in both mixed precisions; the state stays finite."""
    for policy in ("mixed_float16", "mixed_bfloat16"):
        with tasks.dtype_policy(policy):
            fitted = fit(row, epochs=1)
        _assert_trained(fitted, f"training in {policy}")
        keys = [key for key, value in baseline(row).state.items() if np.isfinite(value).all()]
        assert_finite([fitted.state[key] for key in keys], f"state in {policy}")


def check_steps_per_execution(row: Row) -> None:
    """Several steps in one execution train as single steps do."""
    if keras.backend.backend() == "torch":
        return  # Keras refuses it there
    found = fit(row, build=tasks.counting, compile_arguments={"steps_per_execution": 2})
    _assert_same(found, baseline(row), "steps_per_execution=2")


def check_gradient_accumulation(row: Row) -> None:
    """Trains with accumulated gradients; every step still counts."""
    fitted = fit(row, accumulate=2, epochs=1)
    _assert_trained(fitted, "training with gradient_accumulation_steps=2")
    if row.step_entry in fitted.state:
        assert int(fitted.state[row.step_entry]) == tasks.STEPS_PER_EPOCH


def check_get_state_is_a_copy(row: Row) -> None:
    """Changing what `get_state` gives changes nothing."""
    callback = baseline(row).callback
    before = snapshot(state_of(callback))
    for value in state_of(callback).values():
        value[...] = np.zeros((), value.dtype)
    assert identical(state_of(callback), before), "`get_state` gives no copies."


CHECKS = (
    *checks_common.DOCUMENTED,
    *checks_common.CONFIGURABLE,
    checks_common.check_construction_makes_no_variables,
    *checks_common.bad_argument_checks(use),
    check_trains_every_kind_of_model,
    check_two_outputs,
    check_jitted_equals_eager,
    check_compiles_once,
    check_state_advances,
    check_variables_live_in_the_step,
    check_resumed_equals_uninterrupted,
    check_can_be_used_again,
    check_leaves_nothing_behind,
    check_knob_and_data_change_the_training,
    check_sample_weight,
    check_validation_is_left_alone,
    check_mixed_precision,
    check_steps_per_execution,
    check_gradient_accumulation,
    check_get_state_is_a_copy,
)
