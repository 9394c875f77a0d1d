import keras
import numpy as np
import pytest

import keras_reweight as kr
from tests.reweight.matching import references
from tests.reweight.matching.networks import IMAGES, SEQUENCES, network, stack
from tests.reweight.matching.test_permute import random_orders

X = np.random.default_rng(0).normal(size=(40, 5)).astype("float32")
UNITS = (5, 6, 5, 3)


@pytest.mark.parametrize("measure", ["correlation", "inner_product"])
def test_unrelated_networks_against_the_formulas(measure):
    models = [stack(seed, UNITS) for seed in (1, 2)]
    # A unit that never fires correlates with nothing.
    weights = models[0].get_weights()
    weights[1][2] = -100.0
    models[0].set_weights(weights)
    weights = [model.get_weights() for model in models]
    scores = references.activation_scores(*weights, X, measure)
    expected = references.best_assignments(scores)
    matching = kr.matching.match_activations(*models, X, measure=measure, batch_size=20)
    total = 0.0
    for order, each, found in zip(expected, scores, matching.permutations.values(), strict=True):
        np.testing.assert_array_equal(found, order)
        total += each[np.arange(len(order)), order].sum()
    before = sum(np.trace(each) for each in scores)
    np.testing.assert_allclose(matching.similarity, [before, total], rtol=1e-5)


def test_scales_of_units_do_not_matter_to_correlations():
    first = stack(0, UNITS)
    orders = [np.random.default_rng(seed).permutation(size) for seed, size in ((1, 6), (2, 5))]
    second = stack(1, UNITS, start=references.permuted(first.get_weights(), orders))
    weights = second.get_weights()
    gains = np.linspace(0.01, 20.0, 6)
    weights[0], weights[1], weights[2] = (
        weights[0] * gains,
        weights[1] * gains,
        weights[2] / gains[:, None],
    )
    second.set_weights(weights)
    batches = [(X[:20], np.zeros(20)), (X[20:], np.zeros(20))]
    matching = kr.matching.match_activations(first, second, batches)
    for order, found in zip(orders, matching.permutations.values(), strict=True):
        np.testing.assert_array_equal(found, np.argsort(order))


def test_convolutions_normalization_and_residual_streams():
    models = [network("residual", copy) for copy in range(2)]
    orders = random_orders(models[0])
    # No channel may be dead: all of them have to be told apart.
    for model in models:
        for layer in model.layers:
            if layer.name.endswith("_norm"):
                layer.beta.assign(layer.beta + 20.0)
    with kr.matching.permute(models[1], orders).patched(models[1]):
        matching = kr.matching.match_activations(*models, IMAGES, batch_size=3)
    for group, order in orders.items():
        if group != "hidden":
            np.testing.assert_array_equal(matching.permutations[group], np.argsort(order), group)
    assert kr.weight_digest(models[1]) == kr.weight_digest(models[0])


def test_models_in_models_and_layers_in_layers():
    models = [network("nested", copy) for copy in range(2)]
    orders = random_orders(models[0])
    with kr.matching.permute(models[1], orders).patched(models[1]):
        matching = kr.matching.match_activations(*models, SEQUENCES)
    for group, order in orders.items():
        np.testing.assert_array_equal(matching.permutations[group], np.argsort(order), group)


def test_heads_have_no_activation_of_their_own():
    models = [network("attention", copy) for copy in range(2)]
    matching = kr.matching.match_activations(*models, SEQUENCES)
    assert set(matching.permutations) == {"in"} and matching.num_moved == 0
    assert "one by one" in matching.stays["attention"]


def test_layers_of_the_second_model_are_found_by_their_order():
    models = [stack(seed, UNITS) for seed in (1, 2)]
    expected = kr.matching.match_activations(*models, X)
    renamed = keras.Sequential([keras.Input((5,))])
    for layer in models[1].layers:
        config = {**layer.get_config(), "name": f"other_{layer.name}"}
        renamed.add(type(layer).from_config(config))
    renamed.set_weights(models[1].get_weights())
    found = kr.matching.match_activations(models[0], renamed, X)
    for group, order in expected.permutations.items():
        np.testing.assert_array_equal(found.permutations[group], order)


def test_unknown_measure():
    with pytest.raises(ValueError, match="measure"):
        kr.matching.match_activations(stack(0), stack(1), X, measure="distance")
