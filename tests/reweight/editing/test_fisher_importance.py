"""fisher_importance against per-sample gradients by central differences."""

import keras
import numpy as np
import pytest

from keras_reweight.editing import fisher_importance
from keras_reweight.editing._drawn_labels import _categories, label_sampler
from keras_reweight.signatures import weight_digest
from tests.core.gradients.references import derivative
from tests.reweight.editing import networks

WEIGHTS = np.array([1.0, 0.0, 2.0, 1.0, 0.5], "float32")


def reference(kind, batch_size=2, weights=None):
    """Importance of every weight, flat."""
    given = networks.shared()
    if kind == "label_free":

        def squared(flat):
            w1, b1, w2, b2 = given.split(flat)
            return ((np.tanh(given.x @ w1 + b1) @ w2 + b2) ** 2).sum(axis=1)

        gradients = derivative(squared, given.flat_weights(), 1e-3)
    else:
        gradients = given.jacobian()
    weights = np.ones(len(gradients)) if weights is None else weights
    if kind == "sample":
        return (weights[:, None] * gradients**2).mean(axis=0)
    starts = range(0, len(gradients), batch_size)
    means = [(weights[:, None] * gradients)[s : s + batch_size].mean(axis=0) for s in starts]
    function = np.abs if kind == "label_free" else np.square
    return np.mean([function(mean) for mean in means], axis=0)


def values(importance):
    return np.concatenate([importance.value(index).ravel() for index in importance.indices])


@pytest.mark.parametrize("kind", ["batch", "sample", "label_free"])
def test_means_over_batches_and_samples(kind):
    model, before = networks.shared().model, weight_digest(networks.shared().model)
    x, y = networks.data()
    found = fisher_importance(model, (x, y), kind=kind, batch_size=2)
    np.testing.assert_allclose(values(found), reference(kind), rtol=1e-4, atol=1e-6)
    assert (found.kind, found.batch_size) == (kind, 2)
    assert found.paths[0].endswith("kernel") and len(found.indices) == 4
    weighted = fisher_importance(model, (x, y, WEIGHTS), kind=kind, batch_size=2)
    expected = reference(kind, weights=WEIGHTS)
    np.testing.assert_allclose(values(weighted), expected, rtol=1e-4, atol=1e-6)
    in_batches = [(x[:2], y[:2]), (x[2:4], y[2:4]), (x[4:], y[4:])]
    same = fisher_importance(model, in_batches, kind=kind)
    np.testing.assert_array_equal(values(same), values(found))
    assert same.batch_size is None
    assert weight_digest(model) == before


def test_sampled_labels_are_those_of_the_predicted_distribution():
    model = networks.shared().model
    x, _ = networks.data()
    drawn = label_sampler(model, None, 3, "test")(x)
    found = fisher_importance(model, x, kind="sample", labels="sampled", seed=3, batch_size=5)
    expected = fisher_importance(model, (x, drawn), kind="sample", batch_size=5)
    np.testing.assert_array_equal(values(found), values(expected))
    logits = np.tile([[1.0, -1.0, 0.5]], (20000, 1))
    p = np.exp(logits[0]) / np.exp(logits[0]).sum()
    ids = _categories(logits, True, np.random.default_rng(0))
    np.testing.assert_allclose(np.bincount(ids) / len(ids), p, atol=0.01)
    np.testing.assert_array_equal(ids, _categories(logits * 0 + p, False, np.random.default_rng(0)))


def test_label_free_looks_before_the_softmax():
    given = networks.shared()
    outputs = keras.layers.Softmax()(given.model.outputs[0])
    classifier = keras.Model(given.model.inputs, outputs)
    found = fisher_importance(classifier, given.x, kind="label_free", batch_size=2)
    np.testing.assert_allclose(values(found), reference("label_free"), rtol=1e-4, atol=1e-6)


def test_what_does_not_fit_is_refused():
    model, x = networks.shared().model, networks.shared().x
    with pytest.raises(ValueError, match="cross-entropy"):
        fisher_importance(model, x, labels="sampled", loss="mse")
    with pytest.raises(ValueError, match="holds no samples"):
        fisher_importance(model, [], kind="label_free")
    with pytest.raises(ValueError, match="labels"):
        fisher_importance(model, x)
