"""shrink_loss against the loop of the paper and the numbers of the official code."""

import numpy as np

import keras_reweight as kr
from keras_reweight.core.testing.backends import evaluate

WEAK = [
    [0.5, 0.3, 0.15, 0.03, 0.02],
    [0.97, 0.01, 0.01, 0.005, 0.005],
    [0.3, 0.28, 0.22, 0.15, 0.05],
    [0.6, 0, 0.39, 0.005, 0.005],
]
STRONG = [[1, 0.5, 0, -0.5, -1], [2, 0, 0, 0, 0], [0.1, 0.2, 0.3, 0.4, 0.5], [1, 2, 3, 0, -1]]


def reference(weak_probabilities, strong_logits, threshold=0.95, weight_by_confidence=True):
    losses = []
    for p, z in zip(weak_probabilities, strong_logits, strict=True):
        order = np.argsort(-np.asarray(p), kind="stable")
        p, z = np.asarray(p, "float64")[order], np.asarray(z, "float64")[order]
        loss = 0.0
        if p[0] < threshold:
            for c in range(2, len(p)):
                if p[0] / (p[0] + p[c:].sum()) >= threshold:
                    kept = np.concatenate([z[:1], z[c:]])
                    loss = np.log(np.exp(kept).sum()) - z[0]
                    loss *= p[0] if weight_by_confidence else 1.0
                    break
        losses.append(loss)
    return np.array(losses)


def shrink(weak, strong, **arguments):
    return evaluate(
        lambda p, z: kr.functional.shrink_loss(p, z, **arguments),
        np.array(weak, "float32"),
        np.array(strong, "float32"),
    )


def test_numbers_of_the_official_code():
    np.testing.assert_allclose(shrink(WEAK, STRONG), [0.063464, 0, 0, 0.8641139], atol=5e-7)
    found = shrink(WEAK, STRONG, threshold=0.8)
    np.testing.assert_allclose(found, [0.1531779, 0, 0.2739046, 0.8641139], atol=2e-7)


def test_random_batches_equal_the_loop():
    rng = np.random.default_rng(0)
    weak = rng.dirichlet(np.full(6, 0.4), size=40).astype("float32")
    strong = rng.normal(size=(40, 6)).astype("float32")
    for threshold in (0.6, 0.9):
        found = shrink(weak, strong, threshold=threshold)
        np.testing.assert_allclose(found, reference(weak, strong, threshold), rtol=1e-5, atol=1e-6)
        assert 0 < np.count_nonzero(found) < 40


def test_two_classes_have_no_runner_up_to_drop():
    np.testing.assert_array_equal(shrink([[0.6, 0.4]], [[1.0, 2.0]]), [0.0])


def test_equal_probabilities_are_ranked_by_their_number():
    found = shrink([[0.25, 0.25, 0.25, 0.25]], [[1.0, 2.0, 3.0, 4.0]], threshold=0.5)
    expected = 0.25 * (np.log(np.exp([1.0, 4.0]).sum()) - 1.0)
    np.testing.assert_allclose(found, [expected], rtol=1e-6)
