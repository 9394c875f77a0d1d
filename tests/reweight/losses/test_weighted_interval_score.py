"""WeightedIntervalScore: intervals by the definition, and its identity with the pinball loss."""

import numpy as np
import pytest
from keras import ops

import keras_reweight as kr
from tests.reweight.losses.test_quantile import CROSSING, LEVELS, TARGETS


def interval_score(y, low, high, alpha):
    return (high - low) + 2 / alpha * max(low - y, 0.0) + 2 / alpha * max(y - high, 0.0)


def reference(y_true, y_pred, quantiles, weighting="alpha"):
    levels, scores = np.asarray(quantiles), []
    count = len(levels) // 2
    for y, row in zip(np.ravel(y_true), y_pred, strict=True):
        alphas = 2 * levels[:count]
        each = np.array([interval_score(y, row[k], row[-1 - k], alphas[k]) for k in range(count)])
        if weighting == "uniform":
            scores.append(each.mean())
            continue
        total = np.sum(alphas / 2 * each)
        if len(levels) % 2:
            total += 0.5 * abs(y - row[count])
        scores.append(total / (count + 0.5 * (len(levels) % 2)))
    return np.array(scores)


def score(quantiles, y_true, y_pred, **arguments):
    loss = kr.losses.WeightedIntervalScore(quantiles, reduction=None, **arguments)
    return ops.convert_to_numpy(loss(y_true, y_pred))


def test_interval_scores_of_the_official_code():
    outer = score([0.1, 0.9], TARGETS, CROSSING[:, [0, 4]], weighting="uniform")
    inner = score([0.25, 0.75], TARGETS, CROSSING[:, [1, 3]], weighting="uniform")
    np.testing.assert_allclose([outer.mean(), inner.mean()], [1.45, 1.40], rtol=1e-6)
    both = score(LEVELS, TARGETS, CROSSING, weighting="uniform")
    np.testing.assert_allclose(both.mean(), 1.425, rtol=1e-6)


@pytest.mark.parametrize("kept", [[0, 1, 2, 3, 4], [0, 1, 3, 4], [2]])
def test_twice_the_mean_pinball_loss(kept):
    levels, values = [LEVELS[k] for k in kept], CROSSING[:, kept]
    pinball = kr.losses.QuantileLoss(levels, reduction=None)(TARGETS, values)
    np.testing.assert_allclose(
        score(levels, TARGETS, values), 2 * ops.convert_to_numpy(pinball), rtol=1e-5
    )


def test_levels_must_be_symmetric():
    with pytest.raises(ValueError, match="symmetric"):
        kr.losses.WeightedIntervalScore([0.1, 0.5, 0.8])
    with pytest.raises(ValueError, match="weighting"):
        kr.losses.WeightedIntervalScore([0.5], weighting="uniform")
