"""Weights from numbers of steps, and that the attack's numbers reach them."""

import numpy as np
import pytest
from keras import ops

import keras_reweight as kr
from keras_reweight.core.testing.compare import assert_close
from tests.reweight.adversarial import models
from tests.reweight.attacks import linear

COUNTS = np.array([0.0, 3.0, 4.0, 1.0], "float32")
KNOWN = {
    "tanh": [2.4991541, 2.2019858, 0.2980064, 0.0008383, 0.0000153],
    "sigmoid": [2.452003, 1.8253897, 0.6715233, 0.04491, 0.0061739],
    "discrete": [1.8965516, 1.3793104, 1.0344827, 0.5172414, 0.1724138],
}


def reference(counts, steps, shift, kind):
    counts = np.asarray(counts, "float64")
    score = shift + 5.0 * (steps // 2 - counts) / (steps // 2)
    weights = {
        "tanh": (np.tanh(score) + 1.0) / 2.0,
        "sigmoid": 1.0 / (1.0 + np.exp(-score)),
        "discrete": (steps + 1.0 - counts) / (steps + 1.0),
    }[kind]
    return weights * len(weights) / weights.sum()


@pytest.mark.parametrize("kind", list(KNOWN))
def test_the_known_weights(kind):
    counts = np.array([0, 3, 5, 8, 10], "float32")
    found = ops.convert_to_numpy(kr.adversarial.GeometryAware(10, kind=kind)(counts))
    np.testing.assert_allclose(found, KNOWN[kind], rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(found, reference(counts, 10, -1.0, kind), rtol=1e-4)


def test_weights_that_all_vanish_are_equal():
    weighting = kr.adversarial.GeometryAware(10, shift=-200.0)
    np.testing.assert_allclose(ops.convert_to_numpy(weighting(np.full(3, 10.0, "float32"))), 1.0)


def test_training_weighs_by_the_steps_of_its_attack():
    attack = kr.attacks.PGD(**models.ATTACK)
    (found,) = attack.batches(linear.model(), linear.X, linear.Y)
    assert len(np.unique(found.steps_correct)) > 1
    weights = reference(found.steps_correct, 2, -0.5, "sigmoid")
    weighting = kr.adversarial.GeometryAware(2, shift=-0.5, kind="sigmoid")
    trainer = kr.adversarial.AdversarialTraining(linear.model(), attack, weighting=weighting)
    expected = models.stepped(models.madry_terms, weights)
    for value, wanted in zip(models.after_a_step(trainer), expected, strict=True):
        assert_close(value, wanted, "a step", relative=1e-4)


def test_an_attack_that_does_not_count_is_refused():
    class Nowhere(kr.attacks.Attack):
        def search(self, predict, x, y, counter=0):
            return kr.attacks.Attacked(x, None)

    trainer = kr.adversarial.AdversarialTraining(
        linear.model(), Nowhere(), weighting=kr.adversarial.GeometryAware(2)
    )
    with pytest.raises(ValueError, match="Nowhere does not count"):
        models.after_a_step(trainer)
