"""RelativeRankingLoss: official vector, every pair in a loop, ties and edges."""

import functools

import numpy as np
import pytest
from keras import ops

from keras_reweight.core.testing.backends import evaluate, gradient
from keras_reweight.losses import RelativeRankingLoss

S = np.array([[0.1, 0.4, -0.2], [0, 0, 0]], "float32")
T = np.array([[1, 2, 3], [1, 1, 2]], "float32")


def reference(y_true, y_pred, kind="relative", sample_weight=None):
    t, s = (np.asarray(v, "float64").reshape(len(v), -1) for v in (y_true, y_pred))
    weight = np.ones(len(t)) if sample_weight is None else np.asarray(sample_weight, "float64")
    single = t.shape[1] == 1
    if single:
        t, s = t.T, s.T
    total, count = 0.0, 0.0
    for row, (ti, si) in enumerate(zip(t, s, strict=True)):
        w = weight if single else np.full(len(ti), weight[row])
        if kind == "absolute":
            mean = np.average(ti, weights=w)
            number = w.sum() ** 2 / (w**2).sum()
            variance = np.average((ti - mean) ** 2, weights=w) * number / (number - 1)
            total += (w * (si - (ti - mean) / np.sqrt(variance + 1e-6)) ** 2).sum()
            count += w.sum()
            continue
        for i in range(len(ti)):
            for j in range(len(ti)):
                if ti[i] == ti[j]:
                    continue
                p = 1 / (1 + np.exp(si[i] - si[j]))
                value = -np.log(p + 1e-6) if ti[j] > ti[i] else -np.log(1 - p + 1e-6)
                total += np.sqrt(w[i] * w[j]) * value
                count += np.sqrt(w[i] * w[j])
    return total / count if count else 0.0


@pytest.mark.parametrize(("kind", "value"), [("relative", 0.7664963), ("absolute", 0.8016654)])
def test_official_vector(kind, value):
    found = evaluate(RelativeRankingLoss(kind), T, S)
    np.testing.assert_allclose(found, value, rtol=2e-6)
    np.testing.assert_allclose(found, reference(T, S, kind), rtol=1e-5)


@pytest.mark.parametrize("kind", ["relative", "absolute"])
@pytest.mark.parametrize("shape", [(9,), (9, 1), (4, 5)])
def test_every_pair_with_weights(kind, shape):
    rng = np.random.default_rng(1)
    s = rng.normal(size=shape).astype("float32")
    t = np.round(rng.normal(size=shape), 1).astype("float32")
    weight = rng.uniform(0.1, 2, size=shape[0]).astype("float32")
    for given in (None, weight):
        loss = functools.partial(RelativeRankingLoss(kind), sample_weight=given)
        found = evaluate(loss, t, s)
        expected = reference(t, s, kind, given)
        np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("kind", ["relative", "absolute"])
def test_nothing_to_compare_gives_zero(kind):
    t, s = np.ones((4, 1), "float32"), np.zeros((4, 1), "float32")
    assert float(RelativeRankingLoss(kind)(t, s)) == 0.0
    assert float(RelativeRankingLoss(kind)(t[:1], s[:1])) == 0.0
    found = gradient(lambda value: RelativeRankingLoss(kind)(t, value), s)
    assert not ops.convert_to_numpy(found).any()


def test_only_the_order_of_the_losses_counts():
    rng = np.random.default_rng(2)
    t, s = rng.normal(size=(2, 8)).astype("float32")
    found = [float(RelativeRankingLoss()(values, s)) for values in (t, np.exp(3 * t))]
    np.testing.assert_allclose(*found, rtol=1e-6)
    order = np.argsort(np.argsort(t)).astype("float32")
    assert float(RelativeRankingLoss()(t, 9 * order)) < 1e-3 < found[0]


def test_the_losses_get_no_gradient():
    found = gradient(lambda value: RelativeRankingLoss("absolute")(value, S), T)
    assert not ops.convert_to_numpy(found).any()


def test_shapes_are_checked():
    with pytest.raises(ValueError, match="one shape"):
        RelativeRankingLoss()(np.ones((4, 2)), np.ones((4, 3)))
    with pytest.raises(ValueError, match=r"y_true.*\(2, 2, 2\)"):
        RelativeRankingLoss()(np.ones((2, 2, 2)), np.ones((2, 2, 2)))
