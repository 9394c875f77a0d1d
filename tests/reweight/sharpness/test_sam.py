"""Sharpness-aware minimization in NumPy, and the step around it."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_reweight as kr
from keras_reweight.core.testing.compare import assert_close
from tests.reweight.meta import models

RATE = 0.1


def gradients(kernel, bias):
    """Of the mean loss by kernel and bias."""
    by_kernel, by_bias = models.gradients(models.X, models.Y, kernel, bias)
    return by_kernel.mean(axis=0), by_bias.mean(axis=0)


def reference_step(rho, adaptive=False, eta=0.01):
    """Kernel and bias after a step."""
    values = [models.KERNEL, models.BIAS]
    slopes = gradients(*values)
    scales = [np.abs(models.KERNEL) + eta if adaptive else np.ones_like(models.KERNEL), 1.0]
    scaled = [scale * slope for scale, slope in zip(scales, slopes, strict=True)]
    length = np.sqrt(sum((part**2).sum() for part in scaled))
    moved = [v + rho * t * s / length for v, t, s in zip(values, scales, scaled, strict=True)]
    return [v - RATE * g for v, g in zip(values, gradients(*moved), strict=True)]


def after_a_step(rule, model=None, compiled=False):
    """The same with the rule."""
    model = models.linear() if model is None else model
    trainer = kr.sharpness.SharpnessAware(model, rule)
    trainer.compile(keras.optimizers.SGD(RATE), models.loss(), **models.steps(compiled))
    trainer.fit(models.X, models.Y, batch_size=8, verbose=0)
    return models.weights_of(model)


@pytest.mark.parametrize("adaptive", [False, True])
def test_a_step_follows_the_formula(adaptive):
    rule = kr.sharpness.SAM(0.3, adaptive=adaptive, eta=0.02)
    found = after_a_step(rule, compiled=adaptive)
    for value, expected in zip(found, reference_step(0.3, adaptive, 0.02), strict=True):
        assert_close(value, expected, "a weight after one step")


def test_rescaling_two_layers_does_not_change_the_adaptive_neighbor():
    draws = np.random.default_rng(0)
    values = [draws.normal(size=(3, 4)), draws.normal(size=(4, 2))]
    slopes = [draws.normal(size=value.shape) for value in values]
    rule = kr.sharpness.SAM(0.5, adaptive=True, eta=0.0)

    def moved(factor):
        scaled = [values[0] * factor, values[1] / factor]
        given = [slopes[0] / factor, slopes[1] * factor]
        tensors = [[ops.convert_to_tensor(p, "float32") for p in one] for one in (scaled, given)]
        first, second = rule.neighbor(*tensors)
        return ops.convert_to_numpy(first) / factor, ops.convert_to_numpy(second) * factor

    for found, expected in zip(moved(7.0), moved(1.0), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_a_gradient_of_zero_moves_nothing():
    zeros = [ops.zeros((2, 2)), ops.zeros((2,))]
    ones = [ops.ones((2, 2)), ops.ones((2,))]
    for value in kr.sharpness.SAM(0.5).neighbor(ones, zeros):
        np.testing.assert_array_equal(ops.convert_to_numpy(value), 1.0)


def network():
    draws = np.random.default_rng(3)
    layers = [keras.layers.Dense(5, "relu"), keras.layers.BatchNormalization(momentum=0.5)]
    made = keras.Sequential([keras.Input((4,)), *layers, keras.layers.Dense(3)])
    for layer in (made.layers[0], made.layers[-1]):
        layer.kernel.assign(draws.normal(size=layer.kernel.shape).astype("float32"))
    return made


def test_with_a_radius_of_nothing_it_is_plain_training():
    plain, aware = network(), network()
    plain.compile(keras.optimizers.SGD(RATE), models.loss(), **models.steps())
    plain.fit(models.X, models.Y, batch_size=8, verbose=0)
    after_a_step(kr.sharpness.SAM(1e-9), aware)
    for found, expected in zip(aware.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_statistics_and_metrics_are_those_of_the_first_pass():
    plain, aware = network(), network()
    histories = []
    for model, trained in ((plain, plain), (aware, kr.sharpness.SharpnessAware(aware))):
        trained.compile(
            keras.optimizers.SGD(RATE), models.loss(), metrics=["accuracy"], **models.steps()
        )
        fit = trained.fit(models.X, models.Y, sample_weight=models.WEIGHT, batch_size=8, verbose=0)
        histories.append((fit.history, model.layers[1].get_weights()[2:]))
    (plain_logs, expected), (logs, found) = histories
    assert set(logs) == set(plain_logs)
    for name, values in plain_logs.items():
        assert logs[name] == pytest.approx(values, rel=1e-5), name
    for value, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(value, wanted, rtol=1e-5)


def test_it_is_saved_with_its_rule(tmp_path):
    trainer = kr.sharpness.SharpnessAware(models.linear(), kr.sharpness.SAM(0.3, adaptive=True))
    trainer.compile("adam", models.loss(), **models.steps())
    trainer.fit(models.X, models.Y, verbose=0)
    path = tmp_path / "trainer.keras"
    trainer.save(path)
    assert keras.saving.load_model(path).rule.get_config() == trainer.rule.get_config()
