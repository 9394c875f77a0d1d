import numpy as np
import pytest

from keras_reweight.core.js_divergence import js_divergence
from keras_reweight.core.prediction_agreement import prediction_agreement

LOGITS = np.random.default_rng(0).normal(size=(2, 9, 4))


def softmax(x):
    return np.exp(x) / np.exp(x).sum(-1, keepdims=True)


def reference(p, q):
    total = 0.0
    for a, b in zip(p, q, strict=True):
        for x, y in zip(a, b, strict=True):
            m = (x + y) / 2
            total += 0.5 * (x * np.log(x / m) if x else 0) + 0.5 * (y * np.log(y / m) if y else 0)
    return total / len(p)


def test_formula_and_symmetry():
    p, q = map(softmax, LOGITS)
    for found in (js_divergence(p, q), js_divergence(q, p)):
        assert abs(found - reference(p, q)) < 1e-12
    assert abs(js_divergence(*LOGITS, from_logits=True) - reference(p, q)) < 1e-12


def test_certain_predictions():
    eye = np.eye(3)
    assert js_divergence(eye, eye) == 0.0
    assert abs(js_divergence(eye, eye[::-1]) - np.log(2.0) * 2 / 3) < 1e-12
    assert prediction_agreement(eye, eye[::-1]) == pytest.approx(1 / 3)


def test_agreement_counts_samples_at_any_depth():
    first, second = LOGITS.reshape(2, 3, 3, 4)
    expected = np.mean(first.argmax(-1) == second.argmax(-1))
    assert prediction_agreement(first, second) == expected
    assert prediction_agreement(first, 5.0 * first) == 1.0


def test_bad_predictions_are_refused():
    with pytest.raises(ValueError, match="`second`.*shape"):
        prediction_agreement(LOGITS[0], LOGITS[1][:4])
    with pytest.raises(ValueError, match="`first`.*from_logits"):
        js_divergence(*LOGITS)
    with pytest.raises(ValueError, match="`first`.*classes"):
        prediction_agreement(np.ones(3), np.ones(3))
