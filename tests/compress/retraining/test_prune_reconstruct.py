"""One sweep prunes the cheapest weights and moves what they did to the others."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_compress as kc
from keras_compress.retraining import prune_reconstruct
from keras_compress.retraining._obs_sweep import inverse_factor, obs_sweep
from tests.compress.retraining.networks import X, mlp, numbered, numpy, pruned, twin


def reference(weight, gram, damping, mask):
    """Optimal Brain Surgeon, input by input, with the inverse for the inputs that are left."""
    weight = np.array(weight, "float64")
    gram = gram + damping * np.mean(np.diag(gram)) * np.eye(len(gram))
    for j in range(len(weight)):
        inverse = np.linalg.inv(gram[j:, j:])
        removed = np.where(mask[j], 0.0, weight[j])
        weight[j:] -= np.outer(inverse[0] / inverse[0, 0], removed)
        weight[j] = np.where(mask[j], weight[j], 0.0)
    return weight


@pytest.mark.parametrize("block_size", [3, 128])
def test_the_sweep_is_that_of_the_optimal_brain_surgeon(block_size):
    rng = np.random.default_rng(0)
    inputs, weight = rng.normal(size=(40, 7)) @ rng.normal(size=(7, 7)), rng.normal(size=(7, 4))
    mask = rng.random((7, 4)) < 0.5
    gram = inputs.T @ inputs
    factor, dead = inverse_factor(gram, 0.01)
    found, kept = obs_sweep(weight, factor, lambda block, _: ~mask[block], block_size)
    np.testing.assert_allclose(found, reference(weight, gram, 0.01, mask), rtol=1e-7, atol=1e-9)
    assert np.array_equal(kept, mask) and not dead.any()


def test_saliency_decides_and_every_layer_has_exactly_its_share():
    model = mlp()
    dense = twin(model)
    kernel = numpy(model.get_layer("first").kernel).astype("float64")
    report = prune_reconstruct(model, X, 0.4, damping=0.1, block_size=2, batch_size=7)
    first, head = report.masks.values()
    assert (~first).sum() == round(0.4 * 48) and (~head).sum() == round(0.4 * 24)
    for name, mask in zip(("first", "head"), (first, head), strict=True):
        assert np.array_equal(numpy(model.get_layer(name).kernel) != 0, mask)
    # The first block of two inputs: the cheapest by the inverse of the whole Gram matrix.
    gram = X.T.astype("float64") @ X
    gram += 0.1 * np.mean(np.diag(gram)) * np.eye(6)
    costs = np.stack([kernel[j] ** 2 / np.linalg.inv(gram[j:, j:])[0, 0] for j in range(2)])
    cheapest = np.argsort(costs, axis=None)[: round(0.4 * 16)]
    assert set(np.flatnonzero(~first[:2])) == set(cheapest)
    magnitude = twin(dense)
    kc.pruning.prune_weights(magnitude, 0.4, allocation=kc.pruning.UniformAllocation())
    errors = [np.mean((numpy(m(X)) - numpy(dense(X))) ** 2) for m in (model, magnitude)]
    assert errors[0] < 0.8 * errors[1]
    np.testing.assert_allclose(
        numpy(model.get_layer("first").kernel),
        reference(kernel, X.T.astype("float64") @ X, 0.1, first),
        atol=2e-5,
    )


def test_two_of_four():
    model = numbered(keras.Sequential([keras.Input((8,)), layers.Dense(4)]))
    x = np.random.default_rng(0).normal(size=(30, 8)).astype("float32")
    x[:, 3] = 0.0
    pattern = kc.pruning.NMPattern(2, 4)
    (mask,) = prune_reconstruct(model, x, 0.5, pattern=pattern).masks.values()
    assert np.array_equal(mask.reshape(2, 4, 4).sum(axis=1), np.full((2, 4), 2))
    assert not mask[3].any()  # an input that is never active goes first
    assert np.array_equal(numpy(model.layers[0].kernel) != 0, mask)


def test_groups_are_pruned_one_by_one():
    model = numbered(
        keras.Sequential([keras.Input((4, 4, 4)), layers.Conv2D(4, 2, groups=2, name="conv")])
    )
    x = np.random.default_rng(0).normal(size=(6, 4, 4, 4)).astype("float32")
    (mask,) = prune_reconstruct(model, x, 0.5).masks.values()
    assert (~mask[..., :2]).sum() == (~mask[..., 2:]).sum() == 8
    assert np.array_equal(numpy(model.layers[0].kernel) != 0, mask)


def test_pruning_twice_only_adds_zeros():
    model = pruned(mlp(), 0.3)
    zeros = numpy(model.get_layer("first").kernel) == 0
    prune_reconstruct(model, X, 0.6, layers="first", block_size=6)
    assert (numpy(model.get_layer("first").kernel) == 0).sum() == round(0.6 * 48) >= zeros.sum()
