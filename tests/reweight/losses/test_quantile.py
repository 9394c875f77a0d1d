"""QuantileLoss against its formula and the numbers of the official code."""

import numpy as np
import pytest
from keras import ops

import keras_reweight as kr
from tests.reweight.functional.test_quantile_crossing_penalty import reference as penalty

LEVELS = [0.1, 0.25, 0.5, 0.75, 0.9]
CROSSING = np.array([[1, 0.8, 1.5, 1.4, 2], [0, 1, 0.5, 2, 1.9]], "float32")
TARGETS = np.array([1.2, 0.7], "float32")


def reference(y_true, y_pred, quantiles, huber=0.0, crossing_weight=0.0, crossing_margin=0.0):
    losses = []
    for y, row in zip(np.ravel(y_true), y_pred, strict=True):
        total = 0.0
        for level, q in zip(quantiles, row, strict=True):
            e = abs(y - q)
            if huber:
                e = 0.5 * e**2 / huber if e < huber else e - 0.5 * huber
            total += (level if y >= q else 1 - level) * e
        losses.append(total / len(row))
    return np.array(losses) + crossing_weight * penalty(y_pred, crossing_margin)


def value(loss, *arguments):
    return float(ops.convert_to_numpy(loss(*arguments)))


def test_numbers_of_the_official_code():
    np.testing.assert_allclose(value(kr.losses.QuantileLoss(LEVELS), TARGETS, CROSSING), 0.124)
    huber = kr.losses.QuantileLoss(LEVELS, huber=0.5)
    np.testing.assert_allclose(value(huber, TARGETS, CROSSING), 0.0644, rtol=1e-6)
    both = kr.losses.QuantileLoss(LEVELS, crossing_weight=2.0, crossing_margin=0.05)
    np.testing.assert_allclose(value(both, TARGETS, CROSSING), 0.124 + 2 * 0.055, rtol=1e-6)


def test_targets_with_a_last_axis_and_sequences():
    loss = kr.losses.QuantileLoss(LEVELS)
    assert value(loss, TARGETS[:, None], CROSSING) == value(loss, TARGETS, CROSSING)
    found = ops.convert_to_numpy(
        kr.losses.QuantileLoss(LEVELS, reduction=None)(TARGETS[None], CROSSING[None])
    )
    assert found.shape == (1, 2)


def test_the_best_constants_are_the_quantiles():
    y = np.arange(101, dtype="float32")
    loss = kr.losses.QuantileLoss([0.25, 0.9])
    best = value(loss, y, np.tile([[25.0, 90.0]], (101, 1)))
    for wrong in ([23.0, 90.0], [27.0, 90.0], [25.0, 88.0], [25.0, 92.0]):
        assert value(loss, y, np.tile([wrong], (101, 1))) > best


def test_wrong_shapes():
    with pytest.raises(ValueError, match="y_pred"):
        kr.losses.QuantileLoss([0.1, 0.9])(TARGETS, CROSSING)
