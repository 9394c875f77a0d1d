"""Weights trained with the model."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_reweight as kr
from tests.reweight.meta.models import steps
from tests.reweight.tasks import models

RATE = 0.05


def trainer(balancer):
    made = kr.tasks.LossBalancing(models.model(), balancer)
    made.compile(keras.optimizers.SGD(RATE), {"a": "mse", "b": "mse"}, **steps())
    return made


def after_two_steps(balancer):
    """Trunk, heads and the trained numbers."""
    made = trainer(balancer)
    made.fit(models.X, models.Y, batch_size=8, epochs=2, verbose=0)
    return [
        *models.values_of(made.model),
        ops.convert_to_numpy(made._learned["log_variance"]),
    ]


def reference(classification, initial_log_variance):
    x = models.X.astype("float64")
    trunk, heads = models.TRUNK.copy(), [models.KERNELS[key].copy() for key in "ab"]
    noise = np.full(2, initial_log_variance)
    for _ in range(2):
        precision = np.exp(-noise) * (1.0 if classification else 0.5)
        errors = [x @ trunk @ heads[k] - models.Y["ab"[k]] for k in range(2)]
        losses = np.array([np.mean(error**2) for error in errors])
        slopes = [2.0 * precision[k] * errors[k] / len(x) for k in range(2)]
        by_trunk = sum(x.T @ slopes[k] @ heads[k].T for k in range(2))
        by_heads = [(x @ trunk).T @ slopes[k] for k in range(2)]
        trunk = trunk - RATE * by_trunk
        heads = [heads[k] - RATE * by_heads[k] for k in range(2)]
        noise = noise - RATE * (0.5 - precision * losses)
    return [trunk, *heads, noise]


@pytest.mark.parametrize("classification", [False, True])
def test_model_and_weights_follow_the_gradient(classification):
    found = after_two_steps(kr.tasks.UncertaintyWeights(classification=classification))
    for value, expected in zip(found, reference(classification, -0.5), strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-6)


def test_the_known_total():
    total = kr.tasks.UncertaintyWeights().combined(
        ops.convert_to_tensor([2.0, 0.5]), {"log_variance": ops.convert_to_tensor([-0.5, -0.5])}
    )
    assert float(total) == pytest.approx(1.560901, rel=1e-5)


def test_what_is_learned_is_saved(tmp_path):
    made = trainer(kr.tasks.UncertaintyWeights(initial_log_variance=0.2))
    made.fit(models.X, models.Y, batch_size=8, verbose=0)
    path = tmp_path / "trainer.keras"
    made.save(path)
    loaded = keras.saving.load_model(path)
    for key, variable in made._learned.items():
        np.testing.assert_array_equal(
            ops.convert_to_numpy(loaded._learned[key]), ops.convert_to_numpy(variable)
        )
