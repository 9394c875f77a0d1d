"""kfac_factors against moments in NumPy."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_reweight.editing import kfac_factors
from keras_reweight.editing._drawn_labels import label_sampler
from keras_reweight.signatures import weight_digest
from tests.reweight.editing import networks

WEIGHTS = np.array([1.0, 0.0, 2.0, 1.0, 0.5], "float32")


def reference(y, weights=None):
    """`[(A, G)]` of both layers."""
    given = networks.shared()
    w1, b1, w2, b2 = given.weights
    x = given.x.astype("float64")
    hidden = np.tanh(x @ w1 + b1)
    p = np.exp(hidden @ w2 + b2)
    error = p / p.sum(axis=1, keepdims=True) - np.eye(3)[y]
    below = error @ w2.T * (1.0 - hidden**2)
    weights = np.ones(len(x)) if weights is None else weights
    return [
        tuple(np.einsum("bi,b,bj->ij", rows, weights, rows) / weights.sum() for rows in pair)
        for pair in ((x, below), (hidden, error))
    ]


def assert_factors(found, expected):
    for pair, wanted in zip(found.factors.values(), expected, strict=True):
        for factor, other in zip(pair, wanted, strict=True):
            np.testing.assert_allclose(factor, other, rtol=1e-4, atol=1e-6)


def test_moments_of_inputs_and_gradients():
    model, (x, y) = networks.shared().model, networks.data()
    before = weight_digest(model)
    found = kfac_factors(model, (x, y), labels="data", batch_size=2)
    assert found.indices == (0, 2)
    assert_factors(found, reference(y))
    found = kfac_factors(model, (x, y, WEIGHTS), labels="data", batch_size=2)
    assert_factors(found, reference(y, WEIGHTS))
    assert weight_digest(model) == before


def test_labels_are_drawn_from_the_predictions_and_need_not_be_given():
    model, (x, _) = networks.shared().model, networks.data()
    drawn = label_sampler(model, None, 5, "test")(x)
    found = kfac_factors(model, x, batch_size=5, seed=5)
    assert_factors(found, reference(drawn))


def test_a_layer_among_others():
    model, (x, y) = networks.shared().model, networks.data()
    name = model.layers[1].name
    found = kfac_factors(model, (x, y), layers=name, labels="data", batch_size=2)
    assert found.indices == (2,)
    assert_factors(found, reference(y)[1:])


def test_what_cannot_be_treated_is_refused():
    model, (x, y) = networks.shared().model, networks.data()
    with pytest.raises(ValueError, match="all weights are zero"):
        kfac_factors(model, (x, y, 0 * WEIGHTS), labels="data", batch_size=2)
    with pytest.raises(ValueError, match="holds no samples"):
        kfac_factors(model, [])
    with pytest.raises(ValueError, match="cross-entropy"):
        kfac_factors(model, x, loss="mse")
    flat = keras.Sequential([keras.Input((3,)), layers.Rescaling(1.0), layers.LayerNormalization()])
    with pytest.raises(ValueError, match="no Kronecker factors"):
        kfac_factors(flat, (x, x), labels="data", loss="mse")
