import keras
import numpy as np
import pytest

import keras_reweight as kr
from tests.reweight.matching import references
from tests.reweight.matching.networks import stack
from tests.reweight.signatures import models as signature_models

X = np.random.default_rng(0).normal(size=(60, 5)).astype("float32")
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def test_the_barrier_between_shuffled_models_goes():
    first = stack(0)
    y = first.predict_on_batch(X).argmax(-1)
    orders = [np.random.default_rng(seed).permutation(12) for seed in (1, 2)]
    second = stack(3, noise=0.02, start=references.permuted(first.get_weights(), orders))
    matching = kr.matching.match_weights(first, second)
    digests = [kr.weight_digest(model) for model in (first, second)]
    before = kr.matching.interpolation_curve(first, second, (X, y), loss=LOSS, points=5)
    after = kr.matching.interpolation_curve(first, second, (X, y), matching, loss=LOSS, points=5)
    assert before.barrier > 0.1 and after.barrier < 0.02 * before.barrier
    np.testing.assert_allclose(after.values[[0, -1]], before.values[[0, -1]], rtol=1e-5)
    assert [kr.weight_digest(model) for model in (first, second)] == digests


def test_the_middle_is_the_mean_of_the_permuted_weights():
    first, second = stack(0), stack(1)
    y = np.arange(60) % 3
    matching = kr.matching.match_weights(first, second)
    curve = kr.matching.interpolation_curve(
        first, second, (X, y), matching.permutations, loss=LOSS, points=3
    )
    weights = references.permuted(second.get_weights(), list(matching.permutations.values()))
    mean = [(a + b) / 2 for a, b in zip(first.get_weights(), weights, strict=True)]
    (*_, (head, offset)) = references.layers_of(mean)
    scores = references.hidden(mean, X)[-1] @ head + offset
    log_p = scores - np.log(np.exp(scores).sum(-1, keepdims=True))
    np.testing.assert_allclose(curve.values[1], -log_p[np.arange(60), y].mean(), rtol=1e-5)


def test_statistics_may_come_from_other_data():
    models = [signature_models.sequential(seed) for seed in (0, 1)]
    x, other = signature_models.images(0, 8), 5.0 * signature_models.images(1, 8)
    y = np.arange(8) % 2

    def values(**options):
        data = (x, y)
        return kr.matching.interpolation_curve(*models, data, loss=LOSS, points=2, **options).values

    found = values()
    np.testing.assert_array_equal(values(batch_norm_data=x), found)
    assert np.abs(values(batch_norm_data=other) - found).max() > 1e-3
    with pytest.raises(ValueError, match="`batch_norm_data` is given"):
        kr.matching.interpolation_curve(stack(0), stack(1), (X, X), batch_norm_data=X)


def test_a_matching_that_does_not_fit_is_refused_first():
    digest = kr.weight_digest(model := stack(0))
    with pytest.raises(ValueError, match="no group"):
        kr.matching.interpolation_curve(model, stack(1), (X, X), {"other": [0, 1]})
    assert kr.weight_digest(model) == digest
