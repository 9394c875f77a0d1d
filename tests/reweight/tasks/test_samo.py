"""Neighbors of several losses in NumPy, and the step that takes their gradients there."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_reweight as kr
from keras_reweight.core.counter_random import normal_like
from keras_reweight.core.testing.compare import assert_close
from tests.reweight.meta.models import steps
from tests.reweight.tasks import models

LOSSES = {"a": "mse", "b": "mse"}
SHAPES = ((3, 4), (4, 1), (4, 1))
VALUES = [models.TRUNK, models.KERNELS["a"], models.KERNELS["b"]]


def drawn(count, seed, step, stream):
    """The normal numbers of a step, as the package hashes them."""
    flat = ops.zeros((1, count))
    return ops.convert_to_numpy(normal_like(flat, seed, step, stream)).astype("float64")[0]


def loss(values, task):
    """Mean squared error of a task of the linear model."""
    x = models.X.astype("float64")
    return np.mean((x @ values[0] @ values[1 + task] - models.Y["ab"[task]]) ** 2)


def gradient(values, task):
    """Of that by the trunk and the heads."""
    x = models.X.astype("float64")
    slope = 2.0 * (x @ values[0] @ values[1 + task] - models.Y["ab"[task]]) / len(x)
    found = [np.zeros(shape) for shape in SHAPES]
    found[0] = x.T @ slope @ values[1 + task].T
    found[1 + task] = (x @ values[0]).T @ slope
    return found


def reference_neighbor(values, gradients, shared, rho, beta, mu, adaptive, seed, step, task):
    """The weights at which the gradient of a task is taken."""
    noise = [np.zeros_like(value) for value in values]
    for number, place in enumerate(shared):
        count, stream = values[place].size, task * len(shared) + number
        noise[place] = drawn(count, seed, step, stream).reshape(values[place].shape)
    ends = [
        loss([v + s * mu * z for v, z in zip(values, noise, strict=True)], task) for s in (1, -1)
    ]
    sign = np.sign(ends[0] - ends[1])
    moved = list(values)
    for group in (shared, [place for place in range(len(values)) if place not in shared]):
        steps = {}
        for place in group:
            direction = gradients[place]
            if place in shared:
                guess = sign * noise[place] / np.linalg.norm(noise[place])
                direction = (1 - beta) * direction + beta * np.linalg.norm(direction) * guess
            steps[place] = direction
        scales = {p: np.abs(values[p]) if adaptive else np.ones_like(values[p]) for p in group}
        length = np.sqrt(sum(((scales[p] * d) ** 2).sum() for p, d in steps.items()))
        for place, direction in steps.items():
            shift = rho * scales[place] ** 2 * direction / (length + 1e-12)
            moved[place] = values[place] + shift
    return moved


def reference_step(rho, beta, mu, seed):
    """Trunk and heads after one step of descent on the sum of both losses."""
    here = [gradient(VALUES, task) for task in range(2)]
    total = [np.zeros(shape) for shape in SHAPES]
    for task in range(2):
        known = [0.5 * (here[0][0] + here[1][0]), *here[task][1:]]
        moved = reference_neighbor(VALUES, known, [0], rho, beta, mu, False, seed, 0, task)
        total = [one + part for one, part in zip(total, gradient(moved, task), strict=True)]
    return [value - models.RATE * part for value, part in zip(VALUES, total, strict=True)]


def outcome(perturb):
    """Of the catalog row: the neighbor of the second task, both heads shared."""
    x, y = ops.convert_to_tensor(models.X), ops.convert_to_tensor(models.Y["b"])
    values = [ops.convert_to_tensor(value, "float32") for value in VALUES]
    slopes = [ops.convert_to_tensor(slope, "float32") for slope in gradient(VALUES, 1)]

    def loss(shifted, task):
        predicted = ops.matmul(ops.matmul(x, shifted[0]), shifted[1 + task])
        return ops.mean(ops.square(predicted - y))

    return perturb.neighbor(loss, values, slopes, [0, 1, 2], ops.full((), 7, "int32"), 1)


def reference_outcome(rho, beta, mu, adaptive, seed):
    slopes = gradient(VALUES, 1)
    return reference_neighbor(VALUES, slopes, [0, 1, 2], rho, beta, mu, adaptive, seed, 7, 1)


def after_a_step(perturb, balancer, compiled=False):
    """The same by training, and the logs."""
    model = models.model()
    trainer = kr.tasks.LossBalancing(model, balancer, shared=["trunk"], perturb=perturb)
    trainer.compile(keras.optimizers.SGD(models.RATE), LOSSES, **steps(compiled))
    history = trainer.fit(models.X, models.Y, batch_size=8, verbose=0)
    return models.values_of(model), history.history


def test_a_step_follows_the_formula():
    options = {"rho": 0.4, "beta": 0.6, "mu": 0.05, "seed": 3}
    found, history = after_a_step(kr.tasks.SAMO(**options), kr.tasks.FixedWeights(), compiled=True)
    for value, expected in zip(found, reference_step(**options), strict=True):
        assert_close(value, expected, "a weight after one step")
    losses, _ = models.losses_and_gradients()
    logged = [history[f"{key}_loss"][0] for key in "ab"]
    np.testing.assert_allclose(logged, losses, rtol=1e-5)
    np.testing.assert_allclose(history["loss"][0], losses.sum(), rtol=1e-5)


def test_without_guessing_every_loss_has_the_neighbor_of_sam():
    draws = np.random.default_rng(0)
    values, slopes = (
        [ops.convert_to_tensor(draws.normal(size=s), "float32") for s in SHAPES] for _ in range(2)
    )
    step = ops.zeros((), "int32")
    expected = kr.sharpness.SAM(0.5).neighbor(values, slopes)
    for task in range(2):
        moved = kr.tasks.SAMO(0.5, beta=0.0).neighbor(None, values, slopes, [0, 1, 2], step, task)
        for value, wanted in zip(moved, expected, strict=True):
            found = ops.convert_to_numpy(value)
            np.testing.assert_allclose(found, ops.convert_to_numpy(wanted), rtol=1e-6)


def test_the_balancer_sees_the_gradients_at_the_neighbors():
    found, history = after_a_step(kr.tasks.SAMO(0.8, beta=0.0, mu=0.05), kr.tasks.PCGrad())
    here = [gradient(VALUES, task) for task in range(2)]
    mean = 0.5 * (here[0][0] + here[1][0])
    there = []
    for task in range(2):
        known = [mean, here[task][1], here[task][2]]
        moved = reference_neighbor(VALUES, known, [0], 0.8, 0.0, 0.05, False, 0, 0, task)
        there.append(gradient(moved, task)[0])
    product = min((there[0] * there[1]).sum(), 0.0)
    weights = [1.0 - product / (one**2).sum() for one in there]
    expected = models.TRUNK - models.RATE * sum(w * g for w, g in zip(weights, there, strict=True))
    assert_close(found[0], expected, "the trunk after one step")
    np.testing.assert_allclose([history[f"{key}_weight"][0] for key in "ab"], weights, rtol=1e-4)


def test_moments_metrics_and_penalties_are_those_of_the_first_pass():
    inputs = keras.Input((3,))
    dense = keras.layers.Dense(4, kernel_regularizer=keras.regularizers.L2(0.1), name="trunk")
    normal = keras.layers.BatchNormalization(momentum=0.5)
    features = normal(dense(inputs))
    model = keras.Model(inputs, {key: keras.layers.Dense(1, name=key)(features) for key in "ab"})
    dense.kernel.assign(models.TRUNK.astype("float32"))
    trainer = kr.tasks.LossBalancing(
        model, kr.tasks.FixedWeights([1.0, 1.0]), perturb=kr.tasks.SAMO(0.5)
    )
    trainer.compile(keras.optimizers.SGD(0.0), LOSSES, metrics={"a": "mse"}, **steps())
    logs = trainer.fit(models.X, models.Y, batch_size=8, verbose=0).history
    seen = models.X.astype("float64") @ models.TRUNK
    for variable, start, moment in (
        (normal.moving_mean, 0.0, seen.mean(axis=0)),
        (normal.moving_variance, 1.0, seen.var(axis=0)),
    ):
        found = ops.convert_to_numpy(variable)
        np.testing.assert_allclose(found, 0.5 * start + 0.5 * moment, rtol=1e-5)
    assert logs["a_mse"][0] == pytest.approx(logs["a_loss"][0], rel=1e-6)
    total = logs["a_loss"][0] + logs["b_loss"][0] + 0.1 * (models.TRUNK**2).sum()
    assert logs["loss"][0] == pytest.approx(total, rel=1e-5)


def test_objectives_and_what_is_refused():
    dense = keras.layers.Dense(1, use_bias=False)
    model = keras.Sequential([keras.Input((1,)), dense])
    dense.kernel.assign([[3.0]])
    objectives = {
        "inside": lambda predict, x, y: ops.mean(ops.square(predict(x) - 2.0 * x)),
        "edge": lambda predict, x, y: ops.mean(ops.square(predict(ops.ones((1, 1))) - 1.0)),
    }
    trainer = kr.tasks.LossBalancing(
        model, kr.tasks.FixedWeights(), objectives=objectives, perturb=kr.tasks.SAMO(0.5)
    )
    trainer.compile(keras.optimizers.SGD(0.1), **steps())
    trainer.fit(np.ones((4, 1), "float32"), verbose=0)
    # d/dw of (w - 2)^2 + (w - 1)^2 at w = 3.5: uphill of one weight, guesses are right.
    np.testing.assert_allclose(ops.convert_to_numpy(dense.kernel), [[3.0 - 0.1 * 8.0]], rtol=1e-5)
    with pytest.raises(TypeError, match="perturb"):
        kr.tasks.LossBalancing(models.model(), kr.tasks.PCGrad(), perturb=0.05)
    with pytest.raises(ValueError, match="perturb"):
        kr.tasks.LossBalancing(
            models.model(), kr.tasks.UncertaintyWeights(), perturb=kr.tasks.SAMO()
        )


def test_it_is_saved(tmp_path):
    trainer = kr.tasks.LossBalancing(
        models.model(), kr.tasks.MGDA(), shared=["trunk"], perturb=kr.tasks.SAMO(0.2, seed=4)
    )
    trainer.compile("sgd", LOSSES)
    trainer.save(tmp_path / "trainer.keras")
    loaded = keras.saving.load_model(tmp_path / "trainer.keras")
    assert loaded.perturb.get_config() == trainer.perturb.get_config()
