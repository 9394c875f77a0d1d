"""match_outputs: the steps of plain gradient descent in NumPy, and what must not change."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_reweight.editing import match_outputs
from keras_reweight.editing.match_outputs import _order
from keras_reweight.signatures import weight_digest
from tests.reweight.editing import networks
from tests.reweight.signatures import models

TARGETS = np.random.default_rng(3).normal(size=(5, 3)).astype("float32")


def inputs():
    return {"model": networks.shared().model, "x": networks.shared().x, "targets": TARGETS}


def reference(steps, batch_size, loss, seed, rate=0.1):
    """Changes of all weights, the gradients by hand."""
    given = networks.shared()
    weights = [w.copy() for w in given.weights]
    for rows in _order(5, steps, batch_size, seed):
        w1, b1, w2, b2 = weights
        x, wanted = given.x[rows].astype("float64"), TARGETS[rows].astype("float64")
        hidden = np.tanh(x @ w1 + b1)
        outputs = hidden @ w2 + b2
        if loss == "mse":
            error = 2.0 * (outputs - wanted) / outputs.size
        else:
            p, q = (np.exp(z) / np.exp(z).sum(axis=1, keepdims=True) for z in (outputs, wanted))
            error = (p - q) / len(rows)
        below = error @ w2.T * (1.0 - hidden**2)
        steps_down = [x.T @ below, below.sum(axis=0), hidden.T @ error, error.sum(axis=0)]
        weights = [w - rate * down for w, down in zip(weights, steps_down, strict=True)]
    return [after - before for after, before in zip(weights, given.weights, strict=True)]


@pytest.mark.parametrize("loss", ["mse", "kl"])
def test_steps_of_gradient_descent(loss):
    model = networks.shared().model
    before = weight_digest(model)
    patch = match_outputs(
        **inputs(),
        steps=3,
        batch_size=2,
        optimizer=keras.optimizers.SGD(0.1),
        loss=loss,
        seed=1,
    )
    for index, expected in enumerate(reference(3, 2, loss, 1)):
        np.testing.assert_allclose(patch.delta(index), expected, rtol=1e-4, atol=1e-6)
    assert weight_digest(model) == before and patch.kind == "output_matching"


def test_every_point_once_a_pass():
    order = _order(5, 4, 2, 0)
    assert order.shape == (4, 2)
    assert sorted(order.ravel()[:5]) == [0, 1, 2, 3, 4]
    np.testing.assert_array_equal(order, _order(5, 4, 2, 0))
    assert not np.array_equal(order, _order(5, 4, 2, 1))


def arrays(variables):
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]


def test_statistics_dropout_and_frozen_layers_stay():
    model = models.regularized()
    model.get_layer("first").trainable = False
    optimizer = keras.optimizers.SGD(0.1)
    before, seeds = weight_digest(model), arrays(model.non_trainable_variables)
    x = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
    targets = model.predict(x, verbose=0)
    patch = match_outputs(model, x, targets=targets + 1.0, steps=2, optimizer=optimizer)
    assert sorted(patch.paths) == ["head/bias", "head/kernel", "norm/beta", "norm/gamma"]
    assert not optimizer.built and weight_digest(model) == before
    for array, seed in zip(arrays(model.non_trainable_variables), seeds, strict=True):
        np.testing.assert_array_equal(array, seed)
    with patch.patched(model):
        near = np.abs(model.predict(x, verbose=0) - targets - 1.0).mean()
    assert near < 1.0


def test_what_does_not_fit_is_refused_before_anything_changes():
    model = networks.shared().model
    with pytest.raises(ValueError, match="as many points"):
        match_outputs(model, networks.shared().x[:3], targets=TARGETS)
    with pytest.raises(ValueError, match="finite"):
        match_outputs(model, networks.shared().x, targets=np.full((5, 3), np.nan))
    classifier = keras.Sequential([keras.Input((3,)), layers.Dense(3, "softmax")])
    with pytest.raises(ValueError, match="gives probabilities"):
        match_outputs(classifier, networks.shared().x, targets=TARGETS, loss="kl")
