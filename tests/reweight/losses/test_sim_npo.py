"""SimNPOLoss: closed-form numbers, lengths, and its weighting view."""

import numpy as np
import pytest
from keras import ops

import keras_reweight as kr
from keras_reweight.core.testing.backends import gradient
from tests.reweight.functional.test_sequence_log_prob import reference as log_prob
from tests.reweight.losses.test_npo import LOGITS, TOKENS


def reference(y_true, y_pred, beta=2.5, delta=0.0, ignore_id=None):
    ids = np.asarray(y_true).astype(int)
    ids = ids if ignore_id is None else np.where(ids == ignore_id, -1, ids)
    count = ((ids >= 0) & (ids < y_pred.shape[-1])).sum(axis=1)
    mean = -log_prob(y_pred, ids) / np.maximum(count, 1)
    return 2.0 / beta * np.log1p(np.exp(-beta * (mean - delta)))


@pytest.mark.parametrize(
    ("beta", "delta", "expected"),
    [(2.5, 0.0, 0.1323275), (4.5, 0.0, 0.0247232), (4.5, 0.5, 0.1763008)],
)
def test_closed_form_numbers(beta, delta, expected):
    """Sequences of 4 and 6 tokens with summed losses of 2 and 6."""
    ids = np.zeros((2, 6), int)
    ids[0, 4:] = -100
    per_token = np.array([[0.5] * 6, [1.0] * 6])
    logits = np.stack([np.zeros((2, 6)), np.log(np.expm1(per_token))], axis=-1).astype("float32")
    found = float(kr.losses.SimNPOLoss(beta, delta=delta)(ids, logits))
    np.testing.assert_allclose(found, expected, rtol=4e-6)


def test_the_weighting_has_the_same_gradient():
    loss = kr.losses.SimNPOLoss(2.5, delta=0.3)
    found = gradient(lambda logits: loss(TOKENS, logits), LOGITS)
    counts = ops.convert_to_tensor((TOKENS >= 0).sum(axis=1).astype("float32"))

    def mean_loss(logits):
        return -kr.functional.sequence_log_prob(logits, TOKENS) / counts

    weights = kr.weightings.SimNPO(2.5, 0.3)(mean_loss(LOGITS))
    expected = gradient(lambda logits: -ops.mean(weights * mean_loss(logits)), LOGITS)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-8)


def test_the_ignored_id_does_not_count():
    changed = np.where(TOKENS == -100, 0, TOKENS)
    changed = np.where(TOKENS == 0, 1, changed)
    expected = kr.losses.SimNPOLoss()(np.where(TOKENS == 0, 1, TOKENS), LOGITS)
    found = kr.losses.SimNPOLoss(ignore_id=0)(changed, LOGITS)
    np.testing.assert_allclose(float(found), float(expected), rtol=1e-6)
