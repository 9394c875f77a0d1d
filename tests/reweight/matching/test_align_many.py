import numpy as np
import pytest

import keras_reweight as kr
from tests.compress.structured import networks
from tests.reweight.matching import references
from tests.reweight.matching.networks import stack
from tests.reweight.signatures import models as signature_models


def shuffled(first, count):
    """Models that are the first with its units in other orders and some noise; their orders."""
    found, orders = [first], [[np.arange(12)] * 2]
    for seed in range(1, count):
        rng = np.random.default_rng(seed)
        orders.append([rng.permutation(12) for _ in "12"])
        start = references.permuted(first.get_weights(), orders[-1])
        found.append(stack(seed, noise=0.05, start=start))
    return found, orders


def test_shuffled_models_are_put_in_the_order_of_the_first():
    models, orders = shuffled(stack(0), 4)
    found = kr.matching.align_many([models[0], *map(kr.WeightSnapshot, models[1:])])
    assert found[0].num_moved == 0 and all(each.converged for each in found)
    for matching, planted in zip(found, orders, strict=True):
        for order, own in zip(matching.permutations.values(), planted, strict=True):
            np.testing.assert_array_equal(order, np.argsort(own))
    assert found[1].similarity[1] > found[1].similarity[0]


def test_two_models_are_matched_as_a_pair():
    first, second = stack(0), stack(1)
    _, found = kr.matching.align_many([first, second])
    weights = references.permuted(second.get_weights(), list(found.permutations.values()))
    pair = kr.matching.match_weights(first, second)
    reached = references.similarity(first.get_weights(), weights)
    last = float(np.vdot(first.get_weights()[-1], second.get_weights()[-1]))
    # Another order of visits may end at another point, not far from it.
    assert reached - last > 0.9 * pair.similarity[-1]


def test_the_mean_of_models_in_one_order():
    models, _ = shuffled(stack(0), 3)
    digest = kr.weight_digest(models[0])
    with kr.matching.merge_many(models).patched(models[0]) as merged:
        found = merged.get_weights()
    matchings = kr.matching.align_many(models)
    lined_up = [
        references.permuted(model.get_weights(), list(matching.permutations.values()))
        for model, matching in zip(models, matchings, strict=True)
    ]
    for mean, *weights in zip(found, *lined_up, strict=True):
        np.testing.assert_allclose(mean, np.mean(weights, axis=0), rtol=0, atol=1e-6)
    assert kr.weight_digest(models[0]) == digest


def test_moving_statistics_are_averaged_in_the_new_order():
    models = [signature_models.sequential(seed) for seed in (0, 1)]
    _, matching = kr.matching.align_many(models)
    order = matching.permutations["early"]
    expected = [
        np.asarray(model.get_layer("early_norm").get_weights()[3], "float64") for model in models
    ]
    with kr.matching.merge_many(models).patched(models[0]):
        found = models[0].get_layer("early_norm").get_weights()[3]
    np.testing.assert_allclose(found, (expected[0] + expected[1][order]) / 2, rtol=1e-6)


def test_what_cannot_be_merged():
    with pytest.raises(ValueError, match="two models or more"):
        kr.matching.align_many([stack(0)])
    with pytest.raises(TypeError, match=r"`models`\[0\]"):
        kr.matching.merge_many([kr.WeightSnapshot(stack(0)), stack(1)])
    with pytest.raises(TypeError, match="list of models"):
        kr.matching.merge_many(stack(0))
    with pytest.raises(ValueError, match=r"`models\[1\]` must have the weights"):
        kr.matching.merge_many([stack(0), networks.dense()])
