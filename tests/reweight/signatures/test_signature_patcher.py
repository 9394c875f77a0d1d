"""SignaturePatcher: exact weights, whatever is applied in which order, and back to the last bit."""

import gc
import itertools

import keras
import numpy as np
import pytest

from keras_reweight.signatures import (
    Patch,
    SignaturePatcher,
    patched,
    weight_digest,
)
from keras_reweight.signatures.live_weights import read_weights
from tests import parity_record
from tests.reweight.signatures import models
from tests.reweight.signatures.patching import assert_same_bits, make, reference_patched

DTYPES = ("float32", "float16", "bfloat16")


@pytest.mark.parametrize("dtype", DTYPES)
def test_weights_equal_the_reference_and_come_back(dtype):
    model = models.dense(dtype=dtype)
    base, before = read_weights(model), weight_digest(model)
    first, second = make(model, "b", 0, (0, 1)), make(model, "a", 1, (1, 2))
    patcher = SignaturePatcher(model)
    patcher.apply(first, alpha=0.75)
    patcher.apply(second)
    expected = reference_patched(base, {"b": (first, 0.75), "a": (second, 1.0)})
    assert_same_bits(read_weights(model), expected)
    assert patcher.active == {"a": 1.0, "b": 0.75} and list(patcher.active) == ["a", "b"]
    if dtype == "float32":
        parity_record.record("patcher/patched", read_weights(model)[1])
    patcher.set_alpha("b", -2.0)
    expected = reference_patched(base, {"b": (first, -2.0), "a": (second, 1.0)})
    assert_same_bits(read_weights(model), expected)
    patcher.remove("a")
    assert_same_bits(read_weights(model), reference_patched(base, {"b": (first, -2.0)}))
    patcher.revert()
    assert weight_digest(model) == before and patcher.active == {} and patcher.exact


def test_every_order_of_applying_and_removing():
    model = models.dense()
    before = weight_digest(model)
    patches = [make(model, name, seed) for seed, name in enumerate("abc")]
    patcher, middle = SignaturePatcher(model), set()
    orders = list(itertools.permutations(patches))
    for there, back in itertools.product(orders, orders):
        for patch in there:
            patcher.apply(patch, 0.3)
        middle.add(weight_digest(model))
        for patch in back:
            patcher.remove(patch.name)
        assert weight_digest(model) == before
    assert len(middle) == 1 and before not in middle


def test_the_order_of_calls_does_not_reach_the_rounding():
    model = models.dense()
    before, found = weight_digest(model), set()
    bias = model.weights[1]
    deltas = {"a": 1e16, "b": 1.0, "c": -1e16}
    patches = [Patch.from_deltas(model, [(bias, np.full(5, d))], name=n) for n, d in deltas.items()]
    patcher = SignaturePatcher(model)
    for order in itertools.permutations(patches):
        for patch in order:
            patcher.apply(patch)
        found.add(weight_digest(model))
        patcher.revert()
        assert weight_digest(model) == before
    assert len(found) == 1


def test_a_strength_of_zero_changes_no_bit():
    model = models.dense()
    model.weights[1].assign(np.array([-0.0, 0.0, np.nan, np.inf, 1.0], "float32"))
    before = weight_digest(model)
    patcher = SignaturePatcher(model)
    patcher.apply(make(model, "a"), alpha=0.0)
    assert weight_digest(model) == before and patcher.active == {"a": 0.0}
    patcher.set_alpha("a", 1.0)
    assert weight_digest(model) != before
    patcher.revert()
    assert weight_digest(model) == before


@pytest.mark.parametrize("dtype", DTYPES)
def test_weights_that_are_not_finite_stay_so_and_are_not_taken_for_training(dtype):
    model = models.dense(dtype=dtype)
    model.weights[1].assign(np.array([np.nan, np.inf, -np.inf, 1.0, 2.0], "float32"))
    patcher = SignaturePatcher(model)
    patcher.apply(make(model, "a"))
    patcher.set_alpha("a", 2.0)
    found = read_weights(model)[1]
    np.testing.assert_array_equal(np.isfinite(found), [False, False, False, True, True])
    patcher.revert()
    np.testing.assert_array_equal(
        read_weights(model)[1].astype("float32"), [np.nan, np.inf, -np.inf, 1.0, 2.0]
    )


def test_where_a_delta_is_zero_bits_stay():
    model = models.dense()
    model.weights[1].assign(np.full(5, -0.0, "float32"))
    delta = np.array([0.0, 1.0, 0.0, 0.0, 0.0])
    patch = Patch.from_deltas(model, [(model.weights[1], delta)], name="a")
    SignaturePatcher(model).apply(patch)
    np.testing.assert_array_equal(
        np.signbit(read_weights(model)[1]), [True, False, True, True, True]
    )


def test_a_difference_leads_exactly_to_the_other_model():
    first, second = models.dense(0), models.dense(1)
    here, there = read_weights(first), read_weights(second)
    deltas = [
        (variable, there[index].astype("float64") - here[index].astype("float64"))
        for index, variable in enumerate(first.weights)
    ]
    patch = Patch.from_deltas(first, deltas, name="to")
    SignaturePatcher(first).apply(patch)
    assert weight_digest(first) == weight_digest(second)


def test_untouched_weights_and_optimizer_stay():
    model = models.dense()
    model.compile("adam", "mse")
    model.fit(np.ones((4, 3)), np.ones((4, 2)), verbose=0)
    others = [*model.weights[2:], *model.optimizer.variables, *model.non_trainable_variables]
    before = [keras.ops.convert_to_numpy(variable).tobytes() for variable in others]
    with patched(model, make(model, "a")):
        during = [keras.ops.convert_to_numpy(variable).tobytes() for variable in others]
    after = [keras.ops.convert_to_numpy(variable).tobytes() for variable in others]
    assert before == during == after


def test_mixed_dtypes_in_one_model():
    layers = [
        keras.layers.Dense(3, name="half", dtype="float16"),
        keras.layers.Dense(3, name="brain", dtype="bfloat16"),
        keras.layers.Dense(2, name="mixed", dtype="mixed_bfloat16"),
    ]
    model = models.randomized(keras.Sequential([keras.Input((3,)), *layers]), 0)
    base, before = read_weights(model), weight_digest(model)
    patch = make(model, "a", weights=range(6))
    assert {spec.dtype for spec in patch.architecture} == {"float16", "bfloat16", "float32"}
    patcher = SignaturePatcher(model)
    patcher.apply(patch, 0.7)
    assert_same_bits(read_weights(model), reference_patched(base, {"a": (patch, 0.7)}))
    patcher.revert()
    assert weight_digest(model) == before


@pytest.mark.parametrize("kind", ("functional", "subclassed"))
def test_compiled_predictions_follow_the_weights(kind):
    model = models.build(kind)
    x = models.images()
    model.compile("sgd", "mse")
    plain = model.predict(x, verbose=0)
    patch = make(model, "a", weights=[i for i, v in enumerate(model.weights) if v.trainable])
    patcher = SignaturePatcher(model)
    patcher.apply(patch)
    shifted = model.predict(x, verbose=0)
    assert np.abs(shifted - plain).max() > 1e-3
    np.testing.assert_allclose(
        shifted, keras.ops.convert_to_numpy(model(x, training=False)), rtol=1e-4, atol=1e-5
    )
    patcher.revert()
    np.testing.assert_array_equal(model.predict(x, verbose=0), plain)


def test_one_patcher_at_a_time():
    model, other = models.dense(), models.dense()
    first, idle = SignaturePatcher(model), SignaturePatcher(model)
    first.apply(make(model, "a"))
    before = weight_digest(model)
    for attempt in (
        lambda: SignaturePatcher(model),
        lambda: idle.apply(make(model, "b")),
    ):
        with pytest.raises(ValueError, match=r"already patched by another.*\{'a': 1.0\}"):
            attempt()
    assert weight_digest(model) == before and idle.active == {}
    idle.revert()
    assert first.active == {"a": 1.0}
    SignaturePatcher(other).apply(make(other, "b"))
    first.revert()
    idle.apply(make(model, "b"))
    with pytest.raises(ValueError, match="already patched"):
        first.apply(make(model, "a"))


def test_models_and_patchers_are_not_kept_alive():
    model = models.dense()
    SignaturePatcher(model).apply(make(model, "a"))
    gc.collect()
    SignaturePatcher(model).apply(make(model, "b"))


@pytest.mark.parametrize(
    ("attempt", "error", "message"),
    (
        (lambda p, a: p.apply(a.renamed("new"), float("nan")), ValueError, "`alpha`"),
        (lambda p, a: p.apply(a.renamed("new"), "1"), TypeError, "`alpha`"),
        (lambda p, a: p.apply(a), ValueError, "`name`='a' is already active"),
        (lambda p, a: p.apply(a, name=3), TypeError, "`name`"),
        (lambda p, a: p.apply({"a": a}), TypeError, "`signature` must be a Patch"),
        (lambda p, a: p.apply(a, 1e300, "new"), ValueError, "first/kernel' would overflow float32"),
        (lambda p, a: p.apply(a * 1e200, 1e200, "new"), ValueError, "would overflow"),
        (lambda p, a: p.set_alpha("a", float("inf")), ValueError, "`alpha`"),
        (lambda p, a: p.set_alpha("a", 1e300), ValueError, "would overflow"),
        (lambda p, a: p.set_alpha("b", 1.0), ValueError, r"`name`='b' is not active.*\['a'\]"),
        (lambda p, a: p.remove("b"), ValueError, "`name`='b' is not active"),
        (lambda p, a: p.remove_all(["a", "b"]), ValueError, "`name`='b' is not active"),
        (
            lambda p, a: p.apply_all({"x": (a, 1.0), "a": (a, 1.0)}),
            ValueError,
            "`name`='a' is already active",
        ),
        (
            lambda p, a: p.apply(make(models.dense(units=6), "o")),
            ValueError,
            "Patch 'o' .there., to be applied to model.*is of another architecture: weight 2",
        ),
        (
            lambda p, a: p.apply(make(models.dense(dtype="float16"), "o")),
            ValueError,
            "another architecture: weight 0 is .*float32 here.*float16 there",
        ),
        (lambda p, a: p.apply(make(models.nested(), "o")), ValueError, "another architecture"),
    ),
)
def test_what_is_refused_changes_nothing(attempt, error, message):
    model = models.dense()
    patch = make(model, "a")
    patcher = SignaturePatcher(model)
    before = weight_digest(model)
    patcher.apply(patch, 0.5)
    during = weight_digest(model)
    with pytest.raises(error, match=message):
        attempt(patcher, patch)
    assert weight_digest(model) == during and patcher.active == {"a": 0.5}
    patcher.revert()
    assert weight_digest(model) == before


def test_overflow_of_a_small_dtype():
    model = models.dense(dtype="float16")
    before = weight_digest(model)
    patch = Patch.from_deltas(model, [(model.weights[1], np.full(5, 70000.0))], name="a")
    with pytest.raises(ValueError, match="would overflow float16"):
        SignaturePatcher(model).apply(patch)
    assert weight_digest(model) == before


def test_a_write_that_fails_midway_changes_nothing(monkeypatch):
    model = models.dense()
    patch = make(model, "a", weights=(0, 1, 2))
    patcher = SignaturePatcher(model)
    before = weight_digest(model)
    broken = model.weights[1]
    assign, calls = broken.assign, []

    def fail_once(value):
        calls.append(1)
        if len(calls) == 1:
            raise MemoryError("no room")
        return assign(value)

    monkeypatch.setattr(broken, "assign", fail_once)
    with pytest.raises(MemoryError):
        patcher.apply(patch)
    assert weight_digest(model) == before and patcher.active == {} and len(calls) == 2
    patcher.apply(patch)
    assert weight_digest(model) != before
    patcher.revert()
    assert weight_digest(model) == before


def test_refuses_what_is_no_built_model():
    with pytest.raises(TypeError, match="`model`"):
        SignaturePatcher(keras.layers.Dense(1))
    with pytest.raises(ValueError, match="not built"):
        SignaturePatcher(keras.Sequential([keras.layers.Dense(1)]))
