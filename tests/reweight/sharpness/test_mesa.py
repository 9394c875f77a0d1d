"""The average of the weights, and agreement with it."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_reweight as kr
from keras_reweight.core.testing.compare import assert_close
from keras_reweight.sharpness._trajectory import trajectory_loss, trajectory_term
from tests.reweight.meta import models

RATE = 0.2
ARGUMENTS = {"weight": 2.0, "temperature": 3.0, "decay": 0.6, "start_epoch": 1}


def reference(weight, temperature, decay, start_epoch):
    """Kernel, bias and their averages after three steps on the whole batch."""
    values = [models.KERNEL, models.BIAS]
    average = list(values)
    x = models.X.astype("float64")
    for epoch in range(3):
        gradients = [g.mean(axis=0) for g in models.gradients(models.X, models.Y, *values)]
        if epoch >= start_epoch:
            past, present = (
                models.probabilities(x / temperature, k, b / temperature)
                for k, b in (average, values)
            )
            # T^2 * (1 / T) * (softmax - target), averaged over the batch.
            slope = weight * temperature * (present - past) / len(x)
            gradients = [gradients[0] + x.T @ slope, gradients[1] + slope.sum(axis=0)]
        values = [v - RATE * g for v, g in zip(values, gradients, strict=True)]
        average = [decay * a + (1.0 - decay) * v for a, v in zip(average, values, strict=True)]
    return [*values, *average]


def after_three_steps(trainer, compiled=False):
    """The same with the wrapper."""
    trainer.compile(keras.optimizers.SGD(RATE), models.loss(), **models.steps(compiled))
    trainer.fit(models.X, models.Y, batch_size=8, epochs=3, verbose=0)
    return [*models.weights_of(trainer.model), *trainer.averaged_weights()]


def test_steps_follow_the_formula():
    found = after_three_steps(kr.sharpness.MESA(models.linear(), **ARGUMENTS), compiled=True)
    for value, expected in zip(found, reference(**ARGUMENTS), strict=True):
        assert_close(value, expected, "after three steps", relative=1e-4)


def test_the_term_is_a_divergence():
    past, present = np.array([[1.0, 1.0, 0.0]]), np.array([[2.0, 0.0, -1.0]])
    p, q = (np.exp(z / 5.0) / np.exp(z / 5.0).sum() for z in (past, present))
    found = trajectory_loss(past, present, 5.0)
    np.testing.assert_allclose(
        ops.convert_to_numpy(found), [25.0 * (p * np.log(p / q)).sum()], 1e-4
    )


def test_positions_without_a_place_in_the_loss_have_none_in_the_term():
    past, present = np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype("float32")
    present[1, 2:], present[2, 0] = 0.0, 0.0
    weights = np.array([[1.0], [0.5], [2.0]], "float32")
    losses = ops.convert_to_numpy(trajectory_loss(past, present, 2.0))
    counted = present.any(axis=-1)
    masked = keras.layers.Masking()(ops.convert_to_tensor(present))
    found = trajectory_term(past, masked, 2.0, weights[:, 0])
    expected = (losses * weights)[counted].sum() / counted.sum()
    np.testing.assert_allclose(ops.convert_to_numpy(found), expected, rtol=1e-5)
    found = trajectory_term(past, present, 2.0, weights)
    np.testing.assert_allclose(ops.convert_to_numpy(found), (losses * weights).mean(), rtol=1e-5)


def test_statistics_are_averaged_and_the_model_is_not_touched_by_the_pass():
    normalization = keras.layers.BatchNormalization(momentum=0.5)
    model = keras.Sequential([keras.Input((4,)), normalization, keras.layers.Dense(3)])
    trainer = kr.sharpness.MESA(model, decay=0.5, start_epoch=100)
    trainer.compile(keras.optimizers.SGD(0.0), models.loss(), **models.steps())
    trainer.fit(models.X, models.Y, batch_size=8, verbose=0)
    mean = ops.convert_to_numpy(normalization.moving_mean)
    np.testing.assert_allclose(mean, 0.5 * models.X.mean(axis=0), rtol=1e-5, atol=1e-6)
    places = [v.path for v in model.weights].index(normalization.moving_mean.path)
    np.testing.assert_allclose(trainer.averaged_weights()[places], 0.5 * mean, rtol=1e-5, atol=1e-6)
    model.set_weights(trainer.averaged_weights())


def test_it_is_saved_with_its_average(tmp_path):
    trainer = kr.sharpness.MESA(models.linear(), **ARGUMENTS)
    expected = after_three_steps(trainer)
    path = tmp_path / "trainer.keras"
    trainer.save(path)
    loaded = keras.saving.load_model(path)
    for found, value in zip(loaded.averaged_weights(), expected[2:], strict=True):
        np.testing.assert_array_equal(found, value)
    assert float(ops.convert_to_numpy(loaded.epoch)) == 2.0
    with pytest.raises(ValueError, match="decay"):
        kr.sharpness.MESA(models.linear(), decay=1.0)
