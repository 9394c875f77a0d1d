import contextlib

import keras
import numpy as np
import pytest
from keras import ops

from keras_reweight.core.masks import (
    MaskConstraint,
    MaskSet,
    StepCounter,
    add_optimizer_variable,
    remove_optimizer_variable,
    update_optimizer,
)

X = np.random.default_rng(0).normal(size=(12, 4)).astype("float32")
Y = X[:, :1]
STEPS = 3

OPTIMIZERS = {
    "sgd": lambda: keras.optimizers.SGD(
        0.1, momentum=0.9, nesterov=True, weight_decay=0.1, clipnorm=1.0
    ),
    "adam": lambda: keras.optimizers.Adam(
        keras.optimizers.schedules.ExponentialDecay(0.1, 2, 0.9), global_clipnorm=1.0, amsgrad=True
    ),
    "adamw": lambda: keras.optimizers.AdamW(0.1, weight_decay=0.1),
    "rmsprop": lambda: keras.optimizers.RMSprop(0.1, momentum=0.9, centered=True),
    "adagrad": lambda: keras.optimizers.Adagrad(0.1),
    "adadelta": lambda: keras.optimizers.Adadelta(10.0),
    "adamax": lambda: keras.optimizers.Adamax(0.1),
    "nadam": lambda: keras.optimizers.Nadam(0.1),
    "ftrl": lambda: keras.optimizers.Ftrl(0.1),
    "lion": lambda: keras.optimizers.Lion(0.1),
    "lamb": lambda: keras.optimizers.Lamb(0.1),
    "adafactor": lambda: keras.optimizers.Adafactor(0.1),
    "muon": lambda: keras.optimizers.Muon(0.1),
    "schedule_free_adamw": lambda: keras.optimizers.ScheduleFreeAdamW(0.1, weight_decay=0.1),
    "accumulation": lambda: keras.optimizers.Adam(0.1, gradient_accumulation_steps=2),
    "ema": lambda: keras.optimizers.Adam(0.1, use_ema=True, ema_overwrite_frequency=2),
    "loss_scale": lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.AdamW(0.1)),
    "multi": lambda: keras.optimizers.MultiOptimizer(
        keras.optimizers.OptimizerMap(
            keras.optimizers.SGD(0.1), {".*dense/kernel": keras.optimizers.Adam(0.1)}
        )
    ),
}


def build(optimizer="adam", constraint=None):
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(6, activation="tanh", kernel_constraint=constraint, name="dense"),
            keras.layers.Dense(1, name="head"),
        ]
    )
    model.compile(optimizer, "mse")
    return model


def train(model, **arguments):
    return model.fit(X, Y, batch_size=4, shuffle=False, verbose=0, **arguments)


def checkerboard(shape):
    return (np.indices(shape).sum(axis=0) % 2).astype("bool")


def value(variable):
    return np.array(ops.convert_to_numpy(variable))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_masked_weights_stay_zero_under_every_optimizer(name):
    model = build(OPTIMIZERS[name]())
    variables = [layer.kernel for layer in model.layers]
    before = [value(variable) for variable in variables]
    masks, counter = MaskSet(model, variables), StepCounter(model)
    kept = [checkerboard(variable.shape) for variable in variables]
    masks.write(kept)
    train(model)
    assert counter.read() == STEPS
    if name == "ema":
        # Keras has just written the averages into the weights, without the constraint.
        assert (value(variables[1])[~kept[1]] != 0.0).any()
        masks.apply()
    for variable, mask, old in zip(variables, kept, before, strict=True):
        new = value(variable)
        assert (new[~mask] == 0.0).all()
        assert (new[mask] != old[mask]).any()
        assert np.isfinite(new).all()


def test_a_changed_mask_reaches_the_compiled_step_without_a_new_one():
    model = build()
    kernel = model.layers[0].kernel
    train(model)
    stale = model.train_function
    masks = MaskSet(model, [kernel])
    train(model)
    compiled = model.train_function
    assert compiled is not stale
    mask = checkerboard((4, 6))
    masks.write([mask])
    train(model)
    assert (value(kernel)[~mask] == 0.0).all() and (value(kernel)[mask] != 0.0).all()
    masks.write([~mask])
    train(model)
    assert (value(kernel)[mask] == 0.0).all() and (value(kernel)[~mask] != 0.0).all()
    assert model.train_function is compiled


@pytest.mark.parametrize("name", ["adam", "loss_scale", "multi"])
def test_removing_leaves_no_trace(name):
    model = build(OPTIMIZERS[name](), constraint=keras.constraints.MaxNorm(1.0))
    train(model)
    constraints = [variable.constraint for variable in model.trainable_variables]
    optimizer_variables = [variable.path for variable in model.optimizer.variables]
    masks = MaskSet(model, [layer.kernel for layer in model.layers])
    counter = StepCounter(model)
    masks.write([np.zeros((4, 6), "bool"), np.ones((6, 1), "bool")])
    masks.apply()
    assert (value(model.layers[0].kernel) == 0.0).all()
    masks.remove()
    counter.remove()
    assert [variable.constraint for variable in model.trainable_variables] == constraints
    assert [variable.path for variable in model.optimizer.variables] == optimizer_variables
    train(model)
    assert (value(model.layers[0].kernel) != 0.0).all()


def test_two_sets_on_one_variable_may_go_in_any_order():
    masks = [np.array([[True, False, True]]), np.array([[True, True, False]])]
    for first in (0, 1):
        inner = keras.constraints.NonNeg()
        model = keras.Sequential(
            [keras.Input((1,)), keras.layers.Dense(3, kernel_constraint=inner)]
        )
        model.compile("sgd", "mse")
        kernel = model.layers[0].kernel
        sets = [MaskSet(model, [kernel], name=f"mask{i}") for i in range(2)]
        for mask_set, mask in zip(sets, masks, strict=True):
            mask_set.write([mask])

        def constrained(weight, kernel=kernel):
            return ops.convert_to_numpy(kernel.constraint(ops.convert_to_tensor(weight)))

        assert constrained([[-1.0, 2.0, 3.0]]).tolist() == [[0.0, 0.0, 0.0]]
        sets[first].remove()
        expected = np.where(masks[1 - first], [[1.0, 2.0, 3.0]], 0.0)
        np.testing.assert_array_equal(constrained([[1.0, 2.0, 3.0]]), expected)
        sets[1 - first].remove()
        assert kernel.constraint is inner


def test_an_inner_constraint_sees_masked_weights():
    constraint = MaskConstraint(
        keras.Variable(np.array([True, False]), dtype="bool", trainable=False),
        keras.constraints.UnitNorm(axis=0),
    )
    result = ops.convert_to_numpy(constraint(ops.convert_to_tensor([3.0, 4.0])))
    np.testing.assert_allclose(result, [1.0, 0.0], rtol=1e-6)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_mask_cuts_off_what_multiplication_would_spread(bad):
    constraint = MaskConstraint(
        keras.Variable(np.array([True, False]), dtype="bool", trainable=False)
    )
    result = ops.convert_to_numpy(constraint(ops.convert_to_tensor([1.0, bad])))
    assert result.tolist() == [1.0, 0.0]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_low_precision_variables(dtype):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(6, dtype=dtype)])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    kernel = model.layers[0].kernel
    assert kernel.dtype == dtype
    masks = MaskSet(model, [kernel])
    mask = checkerboard((4, 6))
    masks.write([mask])
    train(model)
    assert (value(kernel).astype("float32")[~mask] == 0.0).all()
    assert kernel.dtype == dtype


def test_moving_averages_are_masked():
    optimizer = OPTIMIZERS["ema"]()
    model = build(keras.optimizers.MultiOptimizer(keras.optimizers.OptimizerMap(optimizer)))
    kernel = model.layers[1].kernel
    masks = MaskSet(model, [kernel])
    mask = checkerboard((6, 1))
    masks.write([mask])
    train(model)
    assert masks.has_averages()
    masks.apply()
    index = [variable.path for variable in model.trainable_variables].index(kernel.path)
    average = value(optimizer._model_variables_moving_average[index])
    assert (average[~mask] == 0.0).all() and (average[mask] != 0.0).all()


def test_no_averages_without_ema():
    model = build()
    assert not MaskSet(model, [model.layers[0].kernel]).has_averages()


def test_reading_and_sparsity():
    model = build()
    masks = MaskSet(model, [layer.kernel for layer in model.layers])
    assert masks.sparsity() == 0.0
    kept = [checkerboard((4, 6)), np.ones((6, 1), "bool")]
    masks.write(kept)
    for one, two in zip(masks.read(), kept, strict=True):
        np.testing.assert_array_equal(one, two)
        assert one.dtype == np.bool_
    assert masks.sparsity() == 12 / 30


def test_nothing_is_written_if_one_shape_is_wrong():
    model = build()
    masks = MaskSet(model, [layer.kernel for layer in model.layers])
    with pytest.raises(ValueError, match=r"head/kernel.*\(6, 1\).*\(2, 2\)"):
        masks.write([np.zeros((4, 6), "bool"), np.zeros((2, 2), "bool")])
    assert masks.sparsity() == 0.0


def test_frozen_and_uncompiled_are_refused():
    model = build()
    train(model)
    model.layers[0].trainable = False
    model.compile("adam", "mse")
    with pytest.raises(ValueError, match="does not train"):
        MaskSet(model, [model.layers[0].kernel])
    assert model.layers[0].kernel.constraint is None
    with pytest.raises(ValueError, match="compile"):
        update_optimizer(keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)]))


def test_step_counter_goes_on_from_what_is_written():
    model = build()
    train(model)
    counter = StepCounter(model)
    assert counter.read() == 0
    counter.write(100)
    train(model, epochs=2)
    assert counter.read() == 100 + 2 * STEPS


def test_masks_and_steps_are_in_the_weights_of_a_running_fit(tmp_path):
    path = str(tmp_path / "running.weights.h5")
    saved = build()
    masks, counter = MaskSet(saved, [saved.layers[0].kernel]), StepCounter(saved)
    mask = checkerboard((4, 6))
    masks.write([mask])
    train(saved)
    saved.save_weights(path)
    loaded = build()
    masks, counter = MaskSet(loaded, [loaded.layers[0].kernel]), StepCounter(loaded)
    loaded.load_weights(path)
    np.testing.assert_array_equal(masks.read()[0], mask)
    assert counter.read() == STEPS
    train(loaded)
    assert (value(loaded.layers[0].kernel)[~mask] == 0.0).all()


def distribution():
    """Something that lays variables out in its own way, on one machine without accelerators."""
    if keras.backend.backend() == "jax":
        return keras.distribution.DataParallel(auto_shard_dataset=False).scope()
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.distribute.MirroredStrategy(["CPU:0"]).scope()
    return contextlib.nullcontext()


def test_under_a_distribution():
    with distribution():
        model = build()
        kernel = model.layers[0].kernel
    with distribution() if keras.backend.backend() == "jax" else contextlib.nullcontext():
        masks, counter = MaskSet(model, [kernel]), StepCounter(model)
        mask = checkerboard((4, 6))
        masks.write([mask])
        train(model)
        assert (value(kernel)[~mask] == 0.0).all() and (value(kernel)[mask] != 0.0).any()
        assert counter.read() == STEPS


def test_eager_steps():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", run_eagerly=True)
    masks, counter = MaskSet(model, [model.layers[0].kernel]), StepCounter(model)
    mask = checkerboard((4, 1))
    masks.write([mask])
    model.train_on_batch(X[:4], Y[:4])
    assert (value(model.layers[0].kernel)[~mask] == 0.0).all()
    assert counter.read() == 1


def test_variables_of_the_optimizer_come_and_go():
    """Keras keeps them in a private list, of which `remove_optimizer_variable` makes a new one."""
    optimizer = keras.optimizers.SGD()
    before = [variable.path for variable in optimizer.variables]
    first = add_optimizer_variable(optimizer, np.zeros(2, "float32"), name="first")
    remove_optimizer_variable(optimizer, first)
    assert [variable.path for variable in optimizer.variables] == before
    second = add_optimizer_variable(optimizer, np.zeros(2, "float32"), name="second")
    assert optimizer.variables[-1] is second
    optimizer.build([keras.Variable(np.zeros(3, "float32"))])
    assert any(variable is second for variable in optimizer.variables)
