"""PESG against its rule written in NumPy, inside every kind of step."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_reweight as kr

GRADIENTS = np.random.default_rng(0).normal(size=(5, 3)) * [2.0, 1.0, 0.1]
START = np.array([1.0, -2.0, 0.5])
OPTIONS = {"momentum": 0.7, "clip_value": 0.8, "l2": 0.05, "epoch_decay": 0.3}


def reference(start, gradients, **options):
    """The weights after the steps; every weight is on its own."""
    return [follow(*pair, **options) for pair in zip(start, gradients, strict=True)]


def follow(
    value,
    gradients,
    learning_rate,
    momentum,
    clip_value,
    l2,
    epoch_decay,
    stage_at=None,
    decay=10.0,
):
    rate, anchor, total, count, buffer = learning_rate, value, 0.0, 0, None
    for step, gradient in enumerate(gradients):
        if step == stage_at:
            rate, anchor, total, count = rate / decay, total / count, 0.0, 0
        direction = np.clip(gradient, -clip_value, clip_value)
        direction = direction + epoch_decay * (value - anchor) + l2 * value
        buffer = direction if step == 0 else (1 - momentum) * buffer + momentum * direction
        value = value - rate * buffer
        total, count = total + value, count + 1
    return value


def apply(optimizer, gradients, stage_at=None):
    variable = keras.Variable(START.astype("float32"), name="weight")
    for step, gradient in enumerate(gradients):
        if step == stage_at:
            optimizer.update_regularizer(10.0)
        optimizer.apply([ops.convert_to_tensor(gradient.astype("float32"))], [variable])
    return ops.convert_to_numpy(variable)


@pytest.mark.parametrize("epoch_decay", [0.0, 0.3])
def test_steps_follow_the_rule(epoch_decay):
    options = {**OPTIONS, "epoch_decay": epoch_decay}
    found = apply(kr.optimizers.PESG(0.2, **options), GRADIENTS)
    np.testing.assert_allclose(found, follow(START, GRADIENTS, 0.2, **options), rtol=1e-5)


def test_a_stage_ends_with_update_regularizer():
    optimizer = kr.optimizers.PESG(0.2, **OPTIONS)
    found = apply(optimizer, GRADIENTS, stage_at=3)
    np.testing.assert_allclose(
        found, follow(START, GRADIENTS, 0.2, **OPTIONS, stage_at=3), rtol=1e-5
    )
    np.testing.assert_allclose(float(ops.convert_to_numpy(optimizer.learning_rate)), 0.02)


def test_update_regularizer_before_any_step_only_divides_the_rate():
    optimizer = kr.optimizers.PESG(0.2, **OPTIONS)
    optimizer.update_regularizer(2.0)
    np.testing.assert_allclose(
        apply(optimizer, GRADIENTS), follow(START, GRADIENTS, 0.1, **OPTIONS), rtol=1e-5
    )
    with pytest.raises(ValueError, match="decay_factor"):
        optimizer.update_regularizer(0.0)


def test_slots():
    variable = keras.Variable(START, name="weight")
    counts = []
    for epoch_decay in (0.1, 0.0):
        optimizer = kr.optimizers.PESG(epoch_decay=epoch_decay)
        optimizer.build([variable])
        counts.append(len(optimizer.variables))
    assert counts == [6, 3]  # three slots and the begin of the stage, or one slot


def fit(eager, **options):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.layers[0].set_weights([np.array([[0.5], [-0.5]]), np.array([0.1])])
    optimizer = kr.optimizers.PESG(0.05, momentum=0.6, epoch_decay=0.2, **options)
    model.compile(optimizer, "mse", run_eagerly=eager)
    x = np.random.default_rng(0).normal(size=(8, 2)).astype("float32")
    model.fit(x, x[:, :1], batch_size=4, epochs=2, shuffle=False, verbose=0,
              callbacks=[kr.callbacks.PESGSchedule([1])])  # fmt: skip
    return model, x


def test_compiled_equals_eager():
    for jitted, eager in zip(fit(False)[0].weights, fit(True)[0].weights, strict=True):
        np.testing.assert_allclose(
            ops.convert_to_numpy(jitted), ops.convert_to_numpy(eager), rtol=1e-5
        )


def test_gradient_accumulation_takes_the_first_step_as_first():
    model, _ = fit(False, gradient_accumulation_steps=2)
    assert all(np.isfinite(ops.convert_to_numpy(v)).all() for v in model.weights)
    sums = [ops.convert_to_numpy(v) for v in model.optimizer.sums]
    for total, weight in zip(sums, model.trainable_variables, strict=True):
        # One update since the stage began.
        np.testing.assert_allclose(total, ops.convert_to_numpy(weight), rtol=1e-6)


def test_a_compiled_model_keeps_its_slots_in_a_file(tmp_path):
    model, x = fit(False)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.optimizer.get_config() == model.optimizer.get_config()
    for twin in (model, loaded):
        twin.fit(x, x[:, :1], batch_size=8, verbose=0)
    for first, second in zip(model.weights, loaded.weights, strict=True):
        np.testing.assert_allclose(
            ops.convert_to_numpy(first), ops.convert_to_numpy(second), rtol=1e-6
        )


def test_bad_arguments():
    for name, wrong in (
        ("learning_rate", 0.0),
        ("momentum", 0.0),
        ("clip_value", -1.0),
        ("l2", -1.0),
        ("epoch_decay", float("nan")),
    ):
        with pytest.raises(ValueError, match=name):
            kr.optimizers.PESG(**{name: wrong})
