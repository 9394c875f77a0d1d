"""Checks of losses: `keras.losses.Loss` subclasses, by value, gradient and Keras' reductions."""

from __future__ import annotations

import functools
import inspect
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_reweight.core.stateful_loss import FinalMemory
from keras_reweight.core.testing import checks_common, tasks
from keras_reweight.core.testing.backends import (
    EAGER_IS_CHEAP,
    Compiled,
    evaluate,
    with_gradient,
    with_keras_mask,
)
from keras_reweight.core.testing.catalog import Row
from keras_reweight.core.testing.compare import assert_close, assert_finite, differ, identical
from keras_reweight.core.testing.gradient_check import assert_gradient, cotangent_for
from keras_reweight.core.testing.invariants import check_invariants

REDUCTIONS = ("sum_over_batch_size", "mean", "sum", "mean_with_sample_weight", None)


def default_inputs() -> dict[str, np.ndarray]:
    """Labels and logits of a small classification batch."""
    return {"y_true": tasks.labels(), "y_pred": tasks.logits()}


def inputs_of(row: Row) -> dict[str, Any]:
    """The row's own input or the default one."""
    return row.inputs() if row.inputs is not None else default_inputs()


def make(row: Row, **changes: Any) -> keras.losses.Loss:
    """A fresh loss, as it is when a training begins."""
    loss = row.make(**changes)
    if row.with_memory:
        loss.memory = FinalMemory(loss.state_spec())
    return loss


def compute(row: Row, inputs: dict[str, Any], **changes: Any) -> np.ndarray:
    """Losses before reduction as a NumPy array."""
    return ops.convert_to_numpy(_losses(make(row, **changes), **inputs))


def use(row: Row, changes: dict[str, Any]) -> None:
    """Construct with changed arguments, then compute a loss."""
    inputs = inputs_of(row)
    make(row, **changes)(inputs["y_true"], inputs["y_pred"])


def _losses(loss, y_true, y_pred):
    # As `Loss.__call__` hands them over.
    y_true = ops.convert_to_tensor(y_true, dtype=loss.dtype)
    return loss.call(y_true, ops.convert_to_tensor(y_pred, dtype=loss.dtype))


def check_value_equals_reference(row: Row) -> dict[str, np.ndarray]:
    """Equal to the NumPy float64 formula, in float32."""
    inputs = inputs_of(row)
    found = compute(row, inputs)
    assert found.dtype == np.float32, f"losses are {found.dtype}, expected float32."
    assert_close(found, row.expected(inputs), "losses before reduction")
    return {"losses": found}


def check_gradient_equals_reference(row: Row) -> dict[str, np.ndarray] | None:
    """The gradient with respect to the predictions is the one of the formula."""
    made, inputs = make(row), inputs_of(row)
    wanted = row.gradient_of if row.gradient_of is not None else "y_pred"
    if not wanted:
        return None
    found = assert_gradient(
        row, lambda value: _losses(made, **{**inputs, wanted: value}), inputs, wanted
    )
    return {"gradient": found}


def check_compiled_equals_eager(row: Row) -> None:
    """The compiled loss gives the same value and is compiled once."""
    made, inputs = make(row), inputs_of(row)
    compiled = Compiled(lambda y_true, y_pred: made(y_true, y_pred))
    for factor in (1.0, 0.5):
        y_pred = (inputs["y_pred"] * factor).astype(inputs["y_pred"].dtype)
        found = ops.convert_to_numpy(compiled(inputs["y_true"], y_pred))
        expected = ops.convert_to_numpy(made(inputs["y_true"], y_pred))
        assert_close(found, expected, "the compiled loss")
    assert compiled.traces == 1, f"compiled {compiled.traces} times for two batches."


def _variants(row):
    """The loss with every reduction it can be constructed with."""
    parameters = inspect.signature(row.target).parameters.values()
    takes_reduction = any(
        p.name == "reduction" or p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters
    )
    if not takes_reduction:
        return {make(row).reduction: make(row)}
    return {reduction: make(row, reduction=reduction) for reduction in REDUCTIONS}


def _each(variants, inputs):
    """What each of these losses gives, by its key."""
    found = evaluate(
        lambda y_true, y_pred: [made(y_true, y_pred) for made in variants.values()],
        inputs["y_true"],
        inputs["y_pred"],
    )
    return dict(zip(variants, found, strict=True))


def _reduced(values, reduction, sample_weight=None, mask=None):
    """Keras' reduction in NumPy float64; a mask scales means to the entries that are left."""
    values = np.asarray(values, "float64")
    weight = None
    for extra in (sample_weight, mask):
        if extra is not None:
            extra = np.asarray(extra, "float64")
            extra = extra.reshape(extra.shape + (1,) * (values.ndim - extra.ndim))
            weight = extra if weight is None else weight * extra
    weighted = values if weight is None else values * weight
    if reduction == "sum":
        return weighted.sum()
    if reduction == "mean_with_sample_weight":
        total = values.size if weight is None else np.broadcast_to(weight, values.shape).sum()
        return weighted.sum() / total
    scale = 1.0 if mask is None else np.size(mask) / np.sum(mask)
    if reduction is None:
        return weighted
    return weighted.sum() * scale / values.size


def check_reduction_and_sample_weight(row: Row) -> None:
    """Every reduction, with and without `sample_weight`, is Keras' own of the same losses."""
    inputs = inputs_of(row)
    values = compute(row, inputs)
    weight = np.random.default_rng(3).uniform(0.2, 2.0, size=len(inputs["y_pred"]))
    weight = weight.astype("float32")
    for reduction, made in _variants(row).items():
        if values.ndim == 0:
            _check_scalar_loss(made, inputs, values, weight)
            continue
        for sample_weight in (None, weight):
            found = made(inputs["y_true"], inputs["y_pred"], sample_weight=sample_weight)
            assert_close(
                ops.convert_to_numpy(found),
                _reduced(values, reduction, sample_weight),
                f"reduction {reduction!r}, sample_weight {sample_weight is not None}",
            )


def _check_scalar_loss(made, inputs, values, weight):
    """One loss for the batch: `sample_weight` weights samples inside it, or is refused."""
    plain = ops.convert_to_numpy(made(**inputs))
    times = len(weight) if made.reduction == "sum" else 1.0
    assert_close(plain, values * times, "the reduced batch loss")
    try:
        found = ops.convert_to_numpy(made(**inputs, sample_weight=weight))
    except ValueError as error:
        assert "sample_weight" in str(error), f"{error} does not name `sample_weight`."
        return
    assert np.ndim(found) == 0 and differ(found, plain), "`sample_weight` is ignored."
    constant = ops.convert_to_numpy(made(**inputs, sample_weight=np.full_like(weight, 0.5)))
    assert_close(constant, plain * (0.5 if made.reduction == "sum" else 1.0), "weights all 0.5")
    present = _present(len(weight))
    left = {name: value[present] for name, value in inputs.items()}
    alone = _each({"alone": made}, left)["alone"]
    zeros = ops.convert_to_numpy(made(**inputs, sample_weight=present.astype("float32")))
    assert_close(zeros, alone, "the loss with weights of zero, against the samples left out,")


def _present(num_samples):
    return np.arange(num_samples) % 4 != 1


def check_mask(row: Row) -> None:
    """Masked samples contribute nothing and do not count in a mean."""
    inputs = inputs_of(row)
    shape = compute(row, inputs).shape
    if not shape:
        present = _present(len(inputs["y_pred"]))
        left = {name: value[present] for name, value in inputs.items()}
        variants = _variants(row)
        alone = _each(variants, left)
        for reduction, made in variants.items():
            found = made(inputs["y_true"], with_keras_mask(inputs["y_pred"], present))
            what = f"the masked batch loss with reduction {reduction!r}"
            assert_close(ops.convert_to_numpy(found), alone[reduction], what)
        return
    mask = np.arange(int(np.prod(shape))).reshape(shape) % 3 != 1
    left = {name: value[mask] for name, value in inputs.items()}
    variants = _variants(row)
    alone = _each(variants, left) if len(shape) == 1 else {}
    for reduction, made in variants.items():
        y_pred = with_keras_mask(inputs["y_pred"], mask)
        found = ops.convert_to_numpy(made(inputs["y_true"], y_pred))
        if reduction is None:
            assert not found[~mask].any(), "masked samples have a loss."
        elif alone:
            what = f"the masked loss with reduction {reduction!r}"
            assert_close(found, alone[reduction], what)
        else:
            assert_finite(found, f"the masked loss with reduction {reduction!r}")


def check_knob_and_data_change_the_loss(row: Row) -> None:
    """Other arguments or other predictions give other losses; the same give the same."""
    inputs = inputs_of(row)
    base = compute(row, inputs)
    assert identical(base, compute(row, inputs)), "two calls give different losses."
    if row.make_arguments():
        assert row.knob, "the catalog row has no `knob`."
        assert differ(base, compute(row, inputs, **row.make_knob())), (
            f"{row.make_knob()} does not change the loss."
        )
    other = {**inputs, "y_pred": np.ascontiguousarray(inputs["y_pred"][::-1])}
    assert differ(base, compute(row, other)), "other predictions do not change the loss."
    assert not np.shape(base) or compute(row, other).shape == base.shape
    check_invariants(row.invariants, functools.partial(compute, row), inputs)


def check_one_hot_labels(row: Row) -> None:
    """Class ids, ids with a trailing axis of one and one-hot labels give the same loss."""
    inputs = inputs_of(row)
    y_true, y_pred = inputs["y_true"], inputs["y_pred"]
    for form, labels in tasks.label_forms(y_true, y_pred).items():
        found = compute(row, {**inputs, "y_true": labels})
        assert_close(found, compute(row, inputs), f"losses of {form}")
        found = ops.convert_to_numpy(make(row)(labels, y_pred))
        expected = ops.convert_to_numpy(make(row)(y_true, y_pred))
        assert_close(found, expected, f"the reduced loss of {form}")


def check_edges(row: Row) -> None:
    """Batch of one, saturated and constant predictions: finite losses and gradients."""
    made, inputs = make(row), inputs_of(row)
    y_pred = inputs["y_pred"]
    cases = {
        "a batch of one": {name: value[:1] for name, value in inputs.items()},
        "saturated predictions": {**inputs, "y_pred": np.sign(y_pred) * np.float32(50.0)},
        "equal predictions": {**inputs, "y_pred": np.zeros_like(y_pred)},
    }

    def losses(y_pred, y_true):
        return _losses(made, y_true, y_pred)

    differentiated = with_gradient(losses, cotangent_for)
    for case, changed in cases.items():
        arrays = changed["y_pred"], changed["y_true"]
        if row.gradient_of == "":
            assert_finite(evaluate(losses, *arrays), f"losses of {case}")
            continue
        found, slope = differentiated(*arrays)
        assert_finite(found, f"losses of {case}")
        assert_finite(slope, f"gradient of {case}")


def check_half_precision(row: Row) -> None:
    """Predictions in half precision give the float32 loss of the same numbers."""
    made, inputs = make(row), inputs_of(row)
    for dtype in ("float16", "bfloat16"):
        half = ops.cast(ops.convert_to_tensor(inputs["y_pred"]), dtype)
        exact = ops.convert_to_numpy(ops.cast(half, "float32"))
        found = made(inputs["y_true"], half)
        assert keras.backend.standardize_dtype(found.dtype) == "float32"
        expected = ops.convert_to_numpy(made(inputs["y_true"], exact))
        assert_close(ops.convert_to_numpy(found), expected, f"loss of {dtype} predictions")


def check_trains_and_saves(row: Row) -> None:
    """Trains in float32 and mixed precision; the compiled model survives a `.keras` file."""
    inputs = inputs_of(row)
    y_true = inputs["y_true"]
    units = int(inputs["y_pred"].shape[-1])
    samples = np.random.default_rng(0).normal(size=inputs["y_pred"].shape[:-1] + (4,))
    for policy in ("float32", "mixed_float16", "mixed_bfloat16"):
        keras.utils.set_random_seed(0)
        with tasks.dtype_policy(policy):
            outputs = keras.layers.Dense(units, name="out")
            model = keras.Sequential([keras.Input(samples.shape[1:]), outputs])
        before = [ops.convert_to_numpy(v).copy() for v in model.trainable_variables]
        model.compile(keras.optimizers.SGD(0.1), make(row), run_eagerly=EAGER_IS_CHEAP)
        options = {"batch_size": len(y_true), "shuffle": False, "verbose": 0}
        model.fit(samples.astype("float32"), y_true, **options)
        after = [ops.convert_to_numpy(v) for v in model.trainable_variables]
        assert_finite(after, f"weights after training in {policy}")
        # The first loss scale of float16 may overflow; Keras then skips the step.
        assert row.gradient_of == "" or policy == "mixed_float16" or differ(before, after), (
            f"training in {policy} changes no weight."
        )
    loaded = tasks.through_keras_file(model)
    assert type(loaded.loss) is row.target, f"a `.keras` file gives back {loaded.loss!r}."
    assert loaded.loss.get_config() == model.loss.get_config(), "a `.keras` file changes the loss."


CHECKS = (
    *checks_common.DOCUMENTED,
    *checks_common.CONFIGURABLE,
    checks_common.check_construction_makes_no_variables,
    *checks_common.bad_argument_checks(use),
    check_value_equals_reference,
    check_gradient_equals_reference,
    check_compiled_equals_eager,
    check_reduction_and_sample_weight,
    check_mask,
    check_knob_and_data_change_the_loss,
    check_one_hot_labels,
    check_edges,
    check_half_precision,
    check_trains_and_saves,
)
