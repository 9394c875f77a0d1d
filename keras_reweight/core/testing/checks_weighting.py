"""Checks of weightings: callables from the losses of a batch to weights."""

from __future__ import annotations

import functools
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_reweight.core.schedules import PolynomialDecay
from keras_reweight.core.testing import checks_common, tasks
from keras_reweight.core.testing.backends import Compiled, evaluate
from keras_reweight.core.testing.catalog import Row
from keras_reweight.core.testing.compare import assert_close, assert_finite, differ, identical
from keras_reweight.core.testing.gradient_check import assert_gradient, slope
from keras_reweight.core.testing.invariants import Compute, check_invariants

NORMALIZATIONS = ("sum_one", "mean_one", None)


def default_inputs() -> dict[str, np.ndarray]:
    """Losses of a small classification batch with its labels and logits."""
    return {"losses": tasks.losses(), "y_true": tasks.labels(), "y_pred": tasks.logits()}


def inputs_of(row: Row) -> dict[str, Any]:
    """The row's own input or the default one."""
    return row.inputs() if row.inputs is not None else default_inputs()


def compute(row: Row, inputs: dict[str, Any], **changes: Any) -> np.ndarray:
    """Weights as a NumPy array."""
    return ops.convert_to_numpy(row.make(**changes)(**{**_step(row), **inputs}))


def _compute_other_shape(row, inputs):
    """`compute` for inputs of a shape that no other check has."""
    made, names = row.make(), [name for name, value in inputs.items() if np.ndim(value)]
    rest = {**_step(row), **{name: inputs[name] for name in inputs if name not in names}}
    return evaluate(
        lambda *arrays: made(**rest, **dict(zip(names, arrays, strict=True))),
        *[inputs[name] for name in names],
    )


def _already(found: np.ndarray) -> Compute:
    return lambda inputs: found


def use(row: Row, changes: dict[str, Any]) -> None:
    """Construct with changed arguments, then weight a batch."""
    compute(row, inputs_of(row), **changes)


def _step(row):
    arguments = row.make_arguments()
    scheduled = any(callable(arguments.get(name)) for name in row.schedulable)
    return {"step": 1} if scheduled or "step" in row.make().reads else {}


def check_value_equals_reference(row: Row) -> dict[str, np.ndarray]:
    """Equal to the NumPy float64 formula; shape of the losses, float32."""
    inputs = inputs_of(row)
    found = compute(row, inputs)
    assert found.dtype == np.float32, f"weights are {found.dtype}, expected float32."
    assert_close(found, row.expected({**_step(row), **inputs}), "weights")
    return {"weights": found}


def check_gradient_equals_reference(row: Row) -> None:
    """No gradient where the weighting stops it, else the one of the formula."""
    made, inputs = row.make(), {**_step(row), **inputs_of(row)}
    wanted = row.gradient_of if row.gradient_of is not None else "losses"
    assert isinstance(made.stop_gradient, bool), "`stop_gradient` must be a boolean."
    if not wanted:
        return

    def weights(value):
        return made(**{**inputs, wanted: value})

    if made.stop_gradient:
        found = slope(weights, inputs[wanted])
        assert not found.any(), f"`stop_gradient` is true, but the gradient is {found}."
    else:
        assert_gradient(row, weights, inputs, wanted)


def check_compiled_equals_eager(row: Row) -> None:
    """The compiled weighting gives the same weights and is compiled once."""
    made, inputs = row.make(), inputs_of(row)
    names = list(inputs)
    compiled = Compiled(
        lambda step, *values: made(step=step, **dict(zip(names, values, strict=True)))
    )
    for step in (1, 2, 5):
        found = ops.convert_to_numpy(compiled(step, *inputs.values()))
        expected = ops.convert_to_numpy(made(step=step, **inputs))
        assert_close(found, expected, f"compiled weights at step {step}")
    assert compiled.traces == 1, f"compiled {compiled.traces} times for three steps."


def check_schedules_reach_the_compiled_step(row: Row) -> None:
    """An argument that follows a schedule has its value of the step, in one compilation."""
    inputs = inputs_of(row)
    losses = inputs["losses"]
    for name in row.schedulable:
        begin = row.make_arguments()[name]
        begin = begin(0) if callable(begin) else begin
        end = row.make_knob().get(name, 0.5 * begin)
        schedule = PolynomialDecay(begin, end, end_step=4, power=1.0)
        scheduled = row.make(**{name: schedule})
        compiled = Compiled(
            lambda losses, step, made=scheduled: made(**{**inputs, "losses": losses}, step=step)
        )
        seen = []
        for step in (0, 3, 9):
            found = ops.convert_to_numpy(compiled(losses, step))
            plain = ops.convert_to_numpy(row.make(**{name: schedule(step)})(**inputs))
            assert_close(found, plain, f"weights with a schedule for `{name}` at step {step}")
            seen.append(found)
        assert differ(seen[0], seen[2]), f"the schedule of `{name}` changes nothing."
        assert compiled.traces == 1, f"a schedule of `{name}` compiles {compiled.traces} times."


def check_knob_and_data_change_the_weights(row: Row) -> None:
    """Other arguments or other losses give other weights; the same give the same."""
    inputs = inputs_of(row)
    base = compute(row, inputs)
    assert identical(base, compute(row, inputs)), "two calls give different weights."
    if row.make_arguments():
        assert row.knob, "the catalog row has no `knob`."
        assert differ(base, compute(row, inputs, **row.make_knob())), (
            f"{row.make_knob()} does not change the weights."
        )
    moved = np.ascontiguousarray(inputs[row.signal][::-1])
    other = {**inputs, row.signal: moved**2 if row.signal == "losses" else moved}
    assert differ(base, compute(row, other)), f"other {row.signal} do not change the weights."


def check_one_hot_labels(row: Row) -> None:
    """Class ids, ids with a trailing axis of one and one-hot labels give the same weights."""
    inputs = inputs_of(row)
    if "y_true" not in row.make().reads:
        return
    for form, labels in tasks.label_forms(inputs["y_true"], inputs["y_pred"]).items():
        found = compute(row, {**inputs, "y_true": labels})
        assert_close(found, compute(row, inputs), f"weights of {form}")


def check_invariants_hold(row: Row) -> None:
    """Non-negative, permutation equivariant, normalized as stated."""
    # Of the object: a weighting with another one inside has the normalization of that one.
    normalization = row.make().normalization
    assert normalization in NORMALIZATIONS, f"`normalization` is {normalization!r}."
    names = ["nonnegative", "permutation_equivariant", *row.invariants]
    names += [normalization] if normalization else []
    check_invariants(names, functools.partial(compute, row), inputs_of(row))


def check_edges(row: Row) -> None:
    """Batch of one, equal, zero, huge and tied losses: finite, non-negative, normalized."""
    inputs = inputs_of(row)
    losses = inputs["losses"]
    cases = {
        "a batch of one": np.s_[:1],
        "equal losses": np.full_like(losses, 1.5),
        "zero losses": np.zeros_like(losses),
        "huge losses": losses * np.float32(1e30),
        "tiny losses": losses * np.float32(1e-30),
        "tied losses": np.where(np.arange(len(losses)) % 2 == 0, losses.max(), losses.min()),
        "one outlier": np.where(np.arange(len(losses)) == 0, np.float32(1e6), losses),
    }
    for case, value in cases.items():
        if isinstance(value, slice):
            changed = {k: v[value] if np.ndim(v) else v for k, v in inputs.items()}
            found = _compute_other_shape(row, changed)
        else:
            if losses.ndim > 1:
                value = np.broadcast_to(value, losses.shape)
            changed = {**inputs, "losses": value.astype("float32")}
            found = compute(row, changed)
        assert found.shape == changed["losses"].shape, f"{case}: shape {found.shape}."
        assert_finite(found, f"weights of {case}")
        names = ["nonnegative", *filter(None, [row.make().normalization])]
        try:
            check_invariants(names, _already(found), changed)
        except AssertionError as error:
            raise AssertionError(f"{case}: {error}") from error


def check_mask(row: Row) -> None:
    """Masked and non-finite entries get weight zero and leave the others as if they were absent."""
    inputs = inputs_of(row)
    losses = inputs["losses"]
    mask = np.arange(losses.size).reshape(losses.shape) % 3 != 1
    clean = compute(row, {**inputs, "mask": mask})
    assert not clean[~mask].any(), "masked entries have weights."
    for fill in (np.float32(1e6), np.float32("nan"), np.float32("inf")):
        garbage = {**inputs, "losses": np.where(mask, losses, fill)}
        found = compute(row, {**garbage, "mask": mask})
        assert_close(found, clean, f"weights with {fill} at masked entries")
        if not np.isfinite(fill):
            assert_close(compute(row, garbage), clean, f"weights with unmasked losses {fill}")
    if losses.ndim == 1:
        left = {k: v[mask] if np.ndim(v) else v for k, v in inputs.items()}
        alone = _compute_other_shape(row, left)
        assert_close(clean[mask], alone, "weights of the entries that are left")
    empty = compute(row, {**inputs, "mask": np.zeros_like(mask)})
    assert not empty.any() and np.isfinite(empty).all(), "an empty batch has weights."


def check_half_precision(row: Row) -> None:
    """Losses in half precision are weighted in float32."""
    inputs = inputs_of(row)
    for dtype in ("float16", "bfloat16"):
        half = ops.cast(ops.convert_to_tensor(inputs["losses"]), dtype)
        found = compute(row, {**inputs, "losses": half})
        exact = ops.convert_to_numpy(ops.cast(half, "float32"))
        assert found.dtype == np.float32, f"{dtype} losses give {found.dtype} weights."
        assert_close(found, compute(row, {**inputs, "losses": exact}), f"weights of {dtype} losses")


@keras.saving.register_keras_serializable(package="keras_reweight_testing")
class WeightedProbe(keras.losses.Loss):
    """Cross-entropy weighted by a weighting, to train with nothing but the weighting under test."""

    def __init__(self, weighting, step=None, name="weighted_probe", **kwargs):
        super().__init__(name=name, **kwargs)
        self.weighting = weighting
        self.step = step

    def call(self, y_true, y_pred):
        losses = keras.losses.sparse_categorical_crossentropy(y_true, y_pred, from_logits=True)
        losses = ops.cast(losses, "float32")
        return self.weighting.sample_weights(losses, y_true, y_pred, step=self.step) * losses

    def get_config(self):
        weighting = keras.saving.serialize_keras_object(self.weighting)
        return {**super().get_config(), "weighting": weighting, "step": self.step}

    @classmethod
    def from_config(cls, config):
        weighting = keras.saving.deserialize_keras_object(config["weighting"])
        return cls(**{**config, "weighting": weighting})


def check_trains_and_saves(row: Row) -> None:
    """Trains in float32 and mixed precision; the compiled model survives a `.keras` file."""
    for policy in ("float32", "mixed_float16", "mixed_bfloat16"):
        keras.utils.set_random_seed(0)
        with tasks.dtype_policy(policy):
            model = tasks.functional()
        before = [ops.convert_to_numpy(v).copy() for v in model.trainable_variables]
        loss = WeightedProbe(row.make(), _step(row).get("step"))
        model.compile(keras.optimizers.SGD(0.1), loss, run_eagerly=True)
        options = {"batch_size": tasks.NUM_SAMPLES, "shuffle": False, "verbose": 0}
        model.fit(tasks.features(), tasks.labels(), **options)
        after = [ops.convert_to_numpy(v) for v in model.trainable_variables]
        assert_finite(after, f"weights after training in {policy}")
        # The first loss scale of float16 may overflow; Keras then skips the step.
        assert policy == "mixed_float16" or differ(before, after), (
            f"training in {policy} changes no weight."
        )
    loaded = tasks.through_keras_file(model)
    assert loaded.loss.weighting.get_config() == loss.weighting.get_config(), (
        "a `.keras` file changes the weighting."
    )


CHECKS = (
    *checks_common.DOCUMENTED,
    *checks_common.CONFIGURABLE,
    checks_common.check_construction_makes_no_variables,
    *checks_common.bad_argument_checks(use),
    check_value_equals_reference,
    check_gradient_equals_reference,
    check_compiled_equals_eager,
    check_schedules_reach_the_compiled_step,
    check_knob_and_data_change_the_weights,
    check_one_hot_labels,
    check_invariants_hold,
    check_edges,
    check_mask,
    check_half_precision,
    check_trains_and_saves,
)
