"""A step of the smooth adversarial comp-sum losses is that of the formula, attack included."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_reweight as kr
from keras_reweight.core.testing.compare import assert_close
from tests.reweight.adversarial import models
from tests.reweight.attacks import linear
from tests.reweight.meta.models import steps

ATTACK = {**models.ATTACK, "loss": "margin_shift", "start": "uniform", "seed": 5}


def shifts(clean, adversarial):
    """Lengths of the changes of the margins, from logits or log-probabilities."""
    found = []
    for label, first, second in zip(linear.Y, clean, adversarial, strict=True):
        changes = (second[label] - second) - (first[label] - first)
        found.append(np.linalg.norm(np.delete(changes, label)))
    return np.array(found)


def attacked():
    """Steps up the slope of the shift from the start of the first batch of a training."""
    ball, x = ATTACK["ball"], linear.X.astype("float64")
    begin = ball.start(ops.convert_to_tensor(linear.X), "uniform", ATTACK["seed"], 1)
    moved = ops.convert_to_numpy(begin).astype("float64")
    one_hot = np.eye(3)[linear.Y]
    for _ in range(ATTACK["steps"]):
        change = linear.logits(moved) - linear.logits(x)
        margins = (one_hot * change).sum(axis=1, keepdims=True) - change
        slope = (margins.sum(axis=1, keepdims=True) * one_hot - margins) @ linear.KERNEL.T
        ahead = moved + ATTACK["step_size"] * np.sign(slope)
        moved = linear.reference_project(ahead, x, ball.epsilon, ball.norm, ball.clip)
    return moved


def terms(tau, rho, nu):
    def found(clean, adversarial):
        scores = np.log(clean)
        margins = scores[np.arange(7), linear.Y][:, None] - scores
        total = np.where(np.eye(3)[linear.Y] > 0.5, 0.0, np.exp(-margins / rho)).sum(axis=1)
        power = 1.0 - tau
        fit = np.log1p(total) if tau == 1.0 else ((1.0 + total) ** power - 1.0) / power
        return [(fit, True), (nu * shifts(scores, np.log(adversarial)), True)]

    return found


def reference(tau, rho, nu):
    """Weights of the linear model after a step."""
    x_adv = attacked()
    start = [linear.KERNEL.astype("float64"), linear.BIAS.astype("float64")]
    found = []
    for place, value in enumerate(start):
        slope = np.zeros_like(value)
        for index in np.ndindex(value.shape):
            pair = []
            for sign in (1.0, -1.0):
                moved = [part.copy() for part in start]
                moved[place][index] += sign * 1e-5
                pair.append(models.objective(*moved, x_adv, terms(tau, rho, nu), 1.0))
            slope[index] = (pair[0] - pair[1]) / 2e-5
        found.append(value - models.RATE * slope)
    return found


def stepped_weights(objective):
    trainer = kr.adversarial.AdversarialTraining(
        linear.model(), kr.attacks.PGD(**ATTACK), objective=objective
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    trainer.compile(keras.optimizers.SGD(models.RATE), loss, **steps())
    # The starts of the attack belong to places in the batch.
    trainer.fit(linear.X, linear.Y, batch_size=7, shuffle=False, verbose=0)
    return [ops.convert_to_numpy(v) for v in trainer.model.trainable_variables]


def test_cross_entropy_is_the_member_at_one():
    found = stepped_weights(kr.adversarial.SmoothCompSum(nu=0.5))
    for value, wanted in zip(found, reference(1.0, 1.0, 0.5), strict=True):
        assert_close(value, wanted, "a step", relative=1e-4)


def test_probabilities_have_the_margins_of_logits():
    clean, adversarial = (linear.softmax(z) for z in (linear.SCORES, linear.SCORES[::-1]))
    arrays = [
        [
            ops.convert_to_numpy(term.values)
            for term in kr.adversarial.SmoothCompSum(0.5, rho=2.0, from_logits=logits).terms(
                None, linear.Y, *(ops.convert_to_tensor(z) for z in pair)
            )
        ]
        for logits, pair in (
            (True, (linear.SCORES, linear.SCORES[::-1].copy())),
            (False, (clean.astype("float32"), adversarial.astype("float32"))),
        )
    ]
    expected = [values for values, _ in terms(0.5, 2.0, 1.0)(clean, adversarial)]
    for found in arrays:
        for value, wanted in zip(found, expected, strict=True):
            # One sample does not move: what stands under the root is left of it.
            np.testing.assert_allclose(value, wanted, rtol=1e-5, atol=1.1e-6)


def test_the_first_term_is_the_comp_sum_loss():
    scores = ops.convert_to_tensor(linear.SCORES)
    objective = kr.adversarial.SmoothCompSum(1.7, nu=0.0)
    fit, shift = objective.terms(None, linear.Y, scores, scores)
    loss = keras.losses.CategoricalGeneralizedCrossEntropy(q=0.7)
    probabilities = linear.softmax(linear.SCORES).astype("float32")
    found = ops.convert_to_numpy(fit.values).mean()
    assert found == pytest.approx(float(loss(linear.Y, probabilities)), rel=1e-5)
    np.testing.assert_array_equal(ops.convert_to_numpy(shift.values), np.zeros(7))
