import keras
import numpy as np
import pytest
from keras import layers

import keras_reweight as kr
from tests.reweight.matching import references
from tests.reweight.matching.networks import NETWORKS, network, stack
from tests.reweight.matching.test_permute import random_orders


def orders_of(matching):
    return list(matching.permutations.values())


def test_a_planted_permutation_is_found_under_noise():
    first = stack(0)
    orders = [np.random.default_rng(seed).permutation(12) for seed in (1, 2)]
    second = stack(3, noise=0.05, start=references.permuted(first.get_weights(), orders))
    matching = kr.matching.match_weights(first, second)
    for order, found in zip(orders, orders_of(matching), strict=True):
        np.testing.assert_array_equal(found, np.argsort(order))
    assert matching.converged and matching.stays == {"head": "output of the model"}
    assert matching.similarity[-1] > matching.similarity[0]
    weights = references.permuted(second.get_weights(), orders_of(matching))
    # The sum has the last layer's bias too, which no permutation changes.
    last = float(np.vdot(first.get_weights()[-1], second.get_weights()[-1]))
    expected = references.similarity(first.get_weights(), weights) - last
    np.testing.assert_allclose(matching.similarity[-1], expected, rtol=1e-6)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_planted_permutation_is_found_in_all_layers(name):
    first, second = network(name), network(name, copy=1)
    orders = random_orders(first)
    with kr.matching.permute(second, orders).patched(second):
        matching = kr.matching.match_weights(first, second)
    for group, order in orders.items():
        np.testing.assert_array_equal(matching.permutations[group], np.argsort(order), group)


@pytest.mark.parametrize("seed", range(4))
def test_unrelated_networks_end_where_no_single_layer_can_do_better(seed):
    first, second = stack(seed, (3, 4, 4, 2)), stack(seed + 10, (3, 4, 4, 2))
    matching = kr.matching.match_weights(first, second, seed=seed)
    weights = [model.get_weights() for model in (first, second)]
    assert references.is_coordinate_optimum(*weights, orders_of(matching))
    assert (np.diff(matching.similarity) >= 0).all()


def test_one_hidden_layer_has_one_best_answer():
    first, second = stack(0, (3, 5, 2)), stack(1, (3, 5, 2))
    (expected,) = references.brute_force(first.get_weights(), second.get_weights())
    (found,) = orders_of(kr.matching.match_weights(first, second))
    np.testing.assert_array_equal(found, expected)


def test_weights_with_a_group_on_two_axes_never_get_worse():
    first, second = network("mixed", 0, seed=1), network("mixed", 1, seed=2)
    matching = kr.matching.match_weights(first, second)
    assert (np.diff(matching.similarity) >= 0).all() and matching.converged
    assert matching.similarity[-1] > matching.similarity[0]


def test_moving_statistics_say_nothing():
    models = [network("residual"), network("residual", copy=1, seed=3)]
    before = kr.matching.match_weights(*models)
    for layer in models[1].layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.moving_mean.assign(100.0 * np.arange(layer.moving_mean.shape[0]))
    after = kr.matching.match_weights(*models)
    for group, order in before.permutations.items():
        np.testing.assert_array_equal(after.permutations[group], order)


def test_a_snapshot_stands_for_a_model_and_one_sweep_may_not_do():
    first, second = stack(0), stack(1)
    matching = kr.matching.match_weights(first, second)
    found = kr.matching.match_weights(first, kr.WeightSnapshot(second), max_sweeps=1)
    assert matching.converged and not found.converged
    assert len(found.similarity) == 2
    assert found.similarity == matching.similarity[:2]


def test_what_cannot_be_matched_is_refused():
    with pytest.raises(ValueError, match="`model2` must have the weights"):
        kr.matching.match_weights(stack(0), stack(0, (5, 12, 3)))
    with pytest.raises(ValueError, match=r"no channels .* can trade places.*output of the model"):
        model = keras.Sequential([keras.Input((2,)), layers.Dense(2)])
        kr.matching.match_weights(model, model)

    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(2)
            self.build((None, 3))

        def build(self, shape):
            self.dense.build(shape)
            self.built = True

        def call(self, inputs):
            return self.dense(inputs)

    with pytest.raises(ValueError, match="subclassed Own"):
        kr.matching.match_weights(Own(), Own())
