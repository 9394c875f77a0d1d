"""Layers come as close to their dense outputs as their zeros allow."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_compress.retraining import reconstruct
from keras_compress.retraining._least_squares import Products, masked_least_squares
from tests.compress.retraining.networks import X, Y, mlp, numbered, numpy, pruned, twin


def reference(inputs, targets, mask, start, damping):
    """Ridge regression for each output on the inputs that its zeros leave, around the start."""
    ridge = damping * np.mean(np.sum(inputs**2, axis=0))
    found = np.zeros(mask.shape)
    for o in range(mask.shape[1]):
        kept = np.flatnonzero(mask[:, o])
        a = np.vstack([inputs[:, kept], np.sqrt(ridge) * np.eye(len(kept))])
        b = np.concatenate([targets[:, o], np.sqrt(ridge) * start[kept, o]])
        found[kept, o] = np.linalg.lstsq(a, b, rcond=None)[0]
    return found


def test_the_solution_is_the_ridge_regression_of_each_output():
    rng = np.random.default_rng(0)
    inputs, start = rng.normal(size=(30, 5)), rng.normal(size=(5, 4))
    inputs[:, 3] = 0.0
    targets = inputs @ rng.normal(size=(5, 4)) + 0.1
    mask = rng.random((5, 4)) < 0.6
    mask[:, 1] = False
    products = Products.zeros(5, 4)
    for half in (slice(0, 11), slice(11, 30)):
        products.add(inputs[half], targets[half])
    found = masked_least_squares(products, start, mask, 0.02)
    np.testing.assert_allclose(found, reference(inputs, targets, mask, start, 0.02), rtol=1e-8)
    np.testing.assert_allclose(found[3], np.where(mask[3], start[3], 0.0), rtol=1e-12)
    np.testing.assert_allclose(
        products.error(found), np.sum((inputs @ found - targets) ** 2), rtol=1e-9
    )


def test_layers_are_solved_in_turn_on_the_inputs_of_the_pruned_part():
    dense = mlp()
    model = pruned(twin(dense))
    masks = [numpy(model.get_layer(name).kernel) != 0 for name in ("first", "head")]
    start = [[numpy(v) for v in model.get_layer(name).weights] for name in ("first", "head")]
    report = reconstruct(model, dense, (X, Y), damping=0.05, batch_size=10)
    ours, theirs = X.astype("float64"), X.astype("float64")
    for name, mask, (kernel, bias) in zip(("first", "head"), masks, start, strict=True):
        goal = [numpy(v).astype("float64") for v in dense.get_layer(name).weights]
        augmented = np.concatenate([ours, np.ones((len(ours), 1))], axis=1)
        found = reference(
            augmented,
            theirs @ goal[0] + goal[1],
            np.vstack([mask, np.ones((1, mask.shape[1]), bool)]),
            np.vstack([kernel, bias]),
            0.05,
        )
        np.testing.assert_allclose(numpy(model.get_layer(name).kernel), found[:-1], atol=2e-5)
        np.testing.assert_allclose(numpy(model.get_layer(name).bias), found[-1], atol=2e-5)
        assert np.array_equal(numpy(model.get_layer(name).kernel) != 0, mask)
        if name == "first":
            gamma, beta = (numpy(v) for v in dense.get_layer("norm").trainable_variables)
            ours, theirs = (
                np.maximum(linear, 0.0) / np.sqrt(1.0 + 1e-3) * gamma + beta
                for linear in (augmented @ found, theirs @ goal[0] + goal[1])
            )
    assert list(report.after) == ["first", "head"] and not report.skipped
    assert all(report.after[name] < report.before[name] for name in report.after)
    assert "relative error" in str(report)


def test_nothing_is_lost_where_nothing_was_pruned():
    dense = mlp()
    model = twin(dense)
    report = reconstruct(model, dense, X)
    assert max(report.after.values()) < 1e-10
    for old, new in zip(dense.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_allclose(new, old, atol=1e-5)


def test_convolutions_with_groups_depthwise_layers_and_attention():
    images = keras.Input((5, 5, 4))
    hidden = layers.Conv2D(4, 3, groups=2, padding="same", name="grouped")(images)
    hidden = layers.DepthwiseConv2D(2, name="depthwise")(hidden)
    hidden = layers.Reshape((16, 4))(hidden)
    hidden = layers.MultiHeadAttention(2, 2, name="attention")(hidden, hidden)
    dense = numbered(keras.Model(images, hidden))
    model = pruned(twin(dense), 0.3)
    x = np.random.default_rng(3).normal(size=(12, 5, 5, 4)).astype("float32")
    zeros = [value == 0 for value in model.get_weights() if value.ndim > 2]
    before = np.mean((numpy(model(x)) - numpy(dense(x))) ** 2)
    report = reconstruct(model, dense, x)
    assert len(report.after) == 6
    assert all(report.after[path] <= report.before[path] for path in report.after)
    assert np.mean((numpy(model(x)) - numpy(dense(x))) ** 2) < 0.6 * before
    found = [value == 0 for value in model.get_weights() if value.ndim > 2]
    assert all(map(np.array_equal, zeros, found))


def test_gradients_fit_a_block_of_layers():
    block = keras.Sequential(
        [keras.Input((6,)), layers.Dense(5, "tanh"), layers.Dense(4)], name="block"
    )
    dense = numbered(keras.Sequential([keras.Input((6,)), block, layers.ReLU()]))
    model = pruned(twin(dense))
    zeros = [value == 0 for value in model.get_weights()]
    report = reconstruct(
        model, dense, X, layers="block", method="gradient", steps=15, learning_rate=0.03
    )
    assert list(report.after) == ["block"]
    assert report.after["block"] < 0.8 * report.before["block"]
    for was, value in zip(zeros, model.get_weights(), strict=True):
        assert value.ndim == 1 or np.array_equal(value == 0, was)


def test_another_model_is_refused_before_anything_changes():
    model = mlp()
    before = model.get_weights()
    with pytest.raises(ValueError, match="`dense_model`"):
        reconstruct(model, keras.Sequential([keras.Input((6,)), layers.Dense(3)]), X)
    with pytest.raises(ValueError, match="`layers`"):
        reconstruct(model, mlp(), X, layers="missing")
    assert all(map(np.array_equal, before, model.get_weights()))
