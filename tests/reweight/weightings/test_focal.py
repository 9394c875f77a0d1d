"""Focal against its formula, with and without gradients through the weights."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_reweight as kr
from keras_reweight.core.testing.backends import gradient
from tests.reweight.long_tail import COUNTS, LABELS, LOGITS, cross_entropy, values

PLAIN = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def reference(
    losses,
    y_true,
    y_pred,
    gamma=2.0,
    from_logits=False,
    probability="predictions",
    normalization=None,
    step=0,
):
    gamma = gamma(step) if callable(gamma) else gamma
    if probability == "loss":
        own = np.exp(-losses)
    else:
        p = np.exp(y_pred - y_pred.max(-1, keepdims=True)) if from_logits else y_pred
        p = p / p.sum(-1, keepdims=True)
        own = p[np.arange(len(p)), np.asarray(y_true).astype(int)]
    weights = (1.0 - own) ** gamma
    return weights / weights.mean() if normalization == "mean_one" else weights


@pytest.mark.parametrize("probability", ["predictions", "loss"])
@pytest.mark.parametrize(("gamma", "expected"), [(1.0, 0.3603296), (2.0, 0.2530644)])
def test_numbers_of_the_official_code(gamma, expected, probability):
    focal = kr.weightings.Focal(gamma, from_logits=True, probability=probability)
    found = values(kr.losses.ReweightedLoss(PLAIN, focal))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize(("gamma", "expected"), [(0, 1.1449175), (1, 1.0233111), (2, 0.9769306)])
def test_the_code_of_ldam_takes_the_probability_from_the_weighted_loss(gamma, expected):
    weighted = kr.losses.ReweightedLoss(PLAIN, kr.weightings.ClassBalanced(COUNTS))
    focal = kr.weightings.Focal(gamma, probability="loss")
    found = values(kr.losses.ReweightedLoss(weighted, focal))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_probabilities_and_logits_are_the_same():
    p = np.exp(LOGITS) / np.exp(LOGITS).sum(-1, keepdims=True)
    losses = np.ones(4, "float32")
    logits = kr.weightings.Focal(from_logits=True)(losses, LABELS, LOGITS.astype("float32"))
    probabilities = kr.weightings.Focal()(losses, np.eye(3)[LABELS], p.astype("float32"))
    np.testing.assert_allclose(
        ops.convert_to_numpy(logits), ops.convert_to_numpy(probabilities), rtol=1e-5
    )


@pytest.mark.parametrize("probability", ["predictions", "loss"])
@pytest.mark.parametrize("stop_gradient", [True, False])
def test_gradient_through_the_weights(stop_gradient, probability):
    focal = kr.weightings.Focal(
        1.5, from_logits=True, stop_gradient=stop_gradient, probability=probability
    )
    loss = kr.losses.ReweightedLoss(PLAIN, focal)
    found = gradient(lambda z: loss(LABELS, z), LOGITS.astype("float32"))
    p = np.exp(LOGITS) / np.exp(LOGITS).sum(-1, keepdims=True)
    own = p[np.arange(4), LABELS][:, None]
    slope = (1 - own) ** 1.5
    if not stop_gradient:
        loss_values = cross_entropy(LABELS, LOGITS)[:, None]
        slope = slope + 1.5 * (1 - own) ** 0.5 * own * loss_values
    expected = slope * (p - np.eye(3)[LABELS]) / 4
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-7)


def test_tokens():
    losses = np.ones((2, 2), "float32")
    logits = LOGITS.astype("float32").reshape(2, 2, 3)
    found = kr.weightings.Focal(from_logits=True)(losses, LABELS.reshape(2, 2), logits)
    expected = reference(losses, LABELS, LOGITS, from_logits=True).reshape(2, 2)
    np.testing.assert_allclose(ops.convert_to_numpy(found), expected, rtol=1e-5)


def test_a_schedule_needs_a_step():
    schedule = kr.schedules.PolynomialDecay(2.0, 0.0, end_step=4, power=1.0)
    with pytest.raises(ValueError, match="gamma"):
        kr.weightings.Focal(schedule, probability="loss")(np.ones(2, "float32"))
