"""mix_domain_heads: the formula in NumPy, choices, certain heads."""

import numpy as np
import pytest
from keras import ops

import keras_reweight as kr
from keras_reweight.core.testing.backends import evaluate

LOGITS = np.random.default_rng(8).normal(scale=2.0, size=(5, 3, 4)).astype("float32")


def reference(logits, mode="min_entropy", gamma=1.0, per_sample=False):
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    entropy = -(p * np.log(p)).sum(-1)
    if not per_sample:
        entropy = np.broadcast_to(entropy.mean(0), entropy.shape)
    if mode == "min_entropy":
        return np.stack([row[head] for row, head in zip(p, entropy.argmin(1), strict=True)])
    weights = entropy**-gamma
    weights /= weights.sum(1, keepdims=True)
    return (weights[..., None] * p).sum(1)


@pytest.mark.parametrize("per_sample", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        {"mode": "min_entropy"},
        {"mode": "entropy_weighted", "gamma": 2.0},
        {"mode": "entropy_weighted", "gamma": 0.0},
    ],
)
def test_equals_the_reference(options, per_sample):
    options = {**options, "per_sample": per_sample}
    found = evaluate(lambda z: kr.functional.mix_domain_heads(z, **options), LOGITS)
    expected = reference(LOGITS.astype("float64"), **options)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_certain_head_is_finite_and_takes_all():
    logits = LOGITS.copy()
    logits[:, 1] = [200.0, 0.0, 0.0, 0.0]
    found = kr.functional.mix_domain_heads(logits, mode="entropy_weighted", gamma=3.0)
    np.testing.assert_allclose(ops.convert_to_numpy(found), [[1, 0, 0, 0]] * 5, atol=1e-6)
