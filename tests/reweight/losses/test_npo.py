"""NPOLoss: closed-form numbers, brute force, token masks, and its weighting view."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_reweight as kr
from keras_reweight.core.testing.backends import gradient, with_keras_mask
from tests.reweight.functional.test_sequence_log_prob import reference as log_prob
from tests.reweight.functional.test_sequence_nll import language_model, tokens

RNG = np.random.default_rng(2)
LOGITS = RNG.normal(size=(4, 3, 5)).astype("float32")
TOKENS = np.array([[0, 1, 2], [4, 3, -100], [2, 2, 2], [1, -100, -100]])
PACKED = kr.data.pack_reference(TOKENS, np.array([4.0, 3.0, 6.0, 1.0]))


def reference(y_true, y_pred, beta=0.1, ignore_id=None):
    ids = np.asarray(y_true)[:, :-1]
    ids = ids if ignore_id is None else np.where(ids == ignore_id, -1, ids)
    rise = -log_prob(y_pred, ids) - np.asarray(y_true)[:, -1]
    return 2.0 / beta * np.log1p(np.exp(-beta * rise))


def logits_of(nll):
    """Two classes, one token a sequence, with exactly these token losses for class 0."""
    nll = np.asarray(nll, "float64")
    other = np.log(np.expm1(nll))
    return np.stack([np.zeros_like(other), other], axis=-1)[:, None, :].astype("float32")


@pytest.mark.parametrize(("beta", "expected"), [(0.1, 11.5741196), (2.5, 0.0315741)])
def test_closed_form_numbers(beta, expected):
    y_true = kr.data.pack_reference(np.zeros((2, 1), int), np.array([1.0, 2.0]))
    found = float(kr.losses.NPOLoss(beta)(y_true, logits_of([2.0, 6.0])))
    np.testing.assert_allclose(found, expected, rtol=2e-6)


def test_masked_tokens_and_empty_sequences_do_not_count():
    mask = np.array([[True, True, False], [True, True, True], [True, False, False], [False] * 3])
    loss = kr.losses.NPOLoss(0.5)
    found = float(loss(PACKED, with_keras_mask(LOGITS, mask)))
    left = PACKED.astype("float64")
    left[:, :-1] = np.where(mask, left[:, :-1], -1)
    expected = reference(left, LOGITS.astype("float64"), 0.5)[:3].mean()
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_the_weighting_has_the_same_gradient():
    loss = kr.losses.NPOLoss(0.5)
    found = gradient(lambda logits: loss(PACKED, logits), LOGITS)
    nll = -kr.functional.sequence_log_prob(LOGITS, TOKENS)
    weights = kr.weightings.NPO(0.5)(nll - ops.convert_to_tensor(PACKED[:, -1]))

    def weighted_ascent(logits):
        return ops.mean(weights * kr.functional.sequence_log_prob(logits, TOKENS))

    expected = gradient(weighted_ascent, LOGITS)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-8)


def test_training_raises_the_loss_of_the_sequences():
    model, (x, y) = language_model(), tokens()
    before = kr.functional.sequence_nll(model, x, y)
    model.compile(keras.optimizers.SGD(0.05), kr.losses.NPOLoss(0.1))
    model.fit(x, kr.data.pack_reference(y, before), epochs=3, batch_size=5, verbose=0)
    assert (kr.functional.sequence_nll(model, x, y) > before).all()


def test_targets_without_reference_are_refused():
    with pytest.raises(ValueError, match="pack_reference"):
        kr.losses.NPOLoss()(TOKENS, LOGITS)
    with pytest.raises(ValueError, match="y_pred"):
        kr.losses.NPOLoss()(PACKED, LOGITS[:, 0])
