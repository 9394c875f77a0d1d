"""Functions are compiled once, see every change, and die with their model."""

import gc
import weakref

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_reweight.core.gradients import (
    _cache,
    clear_gradient_cache,
    make_value_and_grad,
    per_sample_gradients,
    value_and_grad,
)

X = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
Y = np.ones((4, 2), "float32")
COMPILES = keras.backend.backend() != "torch"


@keras.saving.register_keras_serializable("test_cache")
class Counting(layers.Layer):
    """Counts how often Python runs it."""

    runs = 0

    def call(self, inputs):
        Counting.runs += 1
        return inputs


def build():
    return keras.Sequential(
        [
            keras.Input((3,)),
            Counting(),
            layers.Dense(4, activation="tanh"),
            layers.BatchNormalization(),
            layers.Dense(2),
        ]
    )


def runs_of(function):
    before = Counting.runs
    function()
    return Counting.runs - before


def value(model, **named):
    return float(ops.convert_to_numpy(value_and_grad(model, X, Y, loss="mse", **named)[0]))


def functions(model):
    return list(model.__dict__[_cache._ATTRIBUTE].entries.values())


def test_a_second_call_runs_what_the_first_compiled():
    model = build()
    first = runs_of(lambda: value_and_grad(model, X, Y, loss="mse"))
    assert first == 1
    (entry,) = functions(model)
    assert runs_of(lambda: value_and_grad(model, X, Y, loss="mse")) == (0 if COMPILES else 1)
    assert functions(model) == [entry]
    assert runs_of(lambda: per_sample_gradients(model, X, Y, loss="mse", batch_size=3)) >= 1
    again = runs_of(lambda: per_sample_gradients(model, X, Y, loss="mse", batch_size=3))
    assert again == 0 if COMPILES else again > 0
    assert len(functions(model)) == 2


def test_changes_of_the_model_are_seen():
    model = build()
    values = [value(model)]
    model.layers[1].kernel.assign(model.layers[1].kernel * 2)
    values.append(value(model))
    # Statistics are not differentiated, but read.
    model.layers[2].moving_mean.assign(ops.ones((4,)))
    values.append(value(model))
    values.append(value(model, training=True))
    model.layers[2].trainable = False
    values.append(value(model, training=True))
    assert values[4] == pytest.approx(values[2], rel=1e-6)
    assert len({round(v, 6) for v in values[:4]}) == 4
    _, gradients, _ = value_and_grad(model, X, Y, loss="mse")
    assert len(gradients) == 4
    model.compile("sgd", "mae")
    by_mae = float(ops.convert_to_numpy(value_and_grad(model, X, Y)[0]))
    model.compile("sgd", "mse")
    assert float(ops.convert_to_numpy(value_and_grad(model, X, Y)[0])) != by_mae


def test_a_changed_attribute_is_seen_after_clearing():
    model = build()
    before = value(model)
    model.layers[1].activation = keras.activations.relu
    clear_gradient_cache(model)
    after = value(model)
    assert after != before
    assert after == pytest.approx(_evaluate(model), rel=1e-5)
    with pytest.raises(TypeError, match=r"must be a keras\.Model"):
        clear_gradient_cache("model")


def _evaluate(model):
    prediction = ops.convert_to_numpy(model(X))
    return float(((prediction - Y) ** 2).mean())


def test_the_cache_is_bounded(monkeypatch):
    monkeypatch.setattr(_cache, "MAX_ENTRIES", 2)
    model = keras.Sequential([keras.Input((3,)), layers.Dense(2)])
    for key in ("a", "b", "c", "b"):
        _cache.cached(model, key, None, lambda key=key: lambda: key)
    assert [entry[0]() for entry in functions(model)] == ["c", "b"]


def test_a_model_and_its_functions_are_freed_together():
    model = build()
    value(model)
    alive = weakref.ref(model)
    del model
    keras.backend.clear_session(free_memory=False)
    gc.collect()
    assert alive() is None


def test_a_model_with_functions_can_be_saved_and_copied(tmp_path):
    model = build()
    expected = value(model)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert value(loaded) == pytest.approx(expected, rel=1e-6)
    copy = keras.models.clone_model(model)
    copy.set_weights([weight * 0 for weight in model.get_weights()])
    assert value(copy) == pytest.approx(1.0)


def test_variables_nobody_named_are_found_and_stay_live():
    weight = keras.Variable(np.float32(2.0))
    frozen = keras.Variable(np.float32(3.0))
    runs = []

    def fn(x):
        runs.append(1)
        frozen.assign(frozen + 0.0)
        return ops.sum(x) * weight * frozen

    function = make_value_and_grad(fn, [weight])
    for factor in (3.0, 5.0, 7.0):
        frozen.assign(np.float32(factor))
        found, (gradient,), updates = function(np.ones(2, "float32"))
        assert float(ops.convert_to_numpy(found)) == pytest.approx(4 * factor)
        assert float(ops.convert_to_numpy(gradient)) == pytest.approx(2 * factor)
        if COMPILES:
            assert [variable is frozen for variable, _ in updates] == [True]
    # Once to find the variable, once with it as an argument.
    assert len(runs) == (2 if COMPILES else 3)
    named = make_value_and_grad(fn, [weight], others=[frozen])
    named(np.ones(2, "float32"))
    assert len(runs) == (3 if COMPILES else 4)


def test_make_value_and_grad_checks_its_arguments():
    weight = keras.Variable(np.ones(2, "float32"))
    with pytest.raises(TypeError, match="single variable"):
        make_value_and_grad(lambda: weight, weight)
    with pytest.raises(TypeError, match=r"must hold keras\.Variable"):
        make_value_and_grad(lambda: weight, [1.0])
    with pytest.raises(ValueError, match="must return a scalar"):
        make_value_and_grad(lambda: weight * 1.0, [weight])()
    eager = make_value_and_grad(lambda: ops.sum(weight * weight), [weight], jit=False)
    np.testing.assert_allclose(ops.convert_to_numpy(eager()[1][0]), [2.0, 2.0])
