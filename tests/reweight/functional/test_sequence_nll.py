"""Reference likelihoods of a model: brute force, batches, masks of the model."""

import keras
import numpy as np
import pytest

import keras_reweight as kr
from tests.reweight.functional.test_sequence_log_prob import reference as log_prob


def language_model(mask_zero=False):
    """Logits of shape `(batch, time, 6)` from tokens, the same on every backend."""
    keras.utils.set_random_seed(0)
    embedding = keras.layers.Embedding(6, 4, mask_zero=mask_zero)
    model = keras.Sequential([keras.Input((4,), dtype="int32"), embedding, keras.layers.Dense(6)])
    rng = np.random.default_rng(8)
    model.set_weights([rng.normal(size=w.shape).astype("float32") for w in model.weights])
    return model


def tokens(seed=0):
    data = np.random.default_rng(seed).integers(1, 6, (5, 5))
    return data[:, :-1], data[:, 1:]


def reference(model, x, y, ignore_id=None):
    embedding, kernel, bias = (w.astype("float64") for w in model.get_weights())
    y = np.where(np.asarray(y) == ignore_id, -1, y) if ignore_id is not None else y
    return -log_prob(embedding[np.asarray(x)] @ kernel + bias, y)


@pytest.mark.parametrize("batch_size", [2, 32])
def test_matches_brute_force(batch_size):
    model, (x, y) = language_model(), tokens()
    found = kr.functional.sequence_nll(model, x, y, batch_size=batch_size, ignore_id=3)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, reference(model, x, y, 3), rtol=1e-5)


def test_the_mask_of_the_model_counts():
    model, (x, y) = language_model(mask_zero=True), tokens()
    x = np.where(np.arange(4) < 2, x, 0)
    found = kr.functional.sequence_nll(model, x, y)
    hidden = np.where(x == 0, -100, y)
    np.testing.assert_allclose(found, reference(model, x, hidden), rtol=1e-5)


def test_bad_arguments():
    model, (x, y) = language_model(), tokens()
    with pytest.raises(ValueError, match="length"):
        kr.functional.sequence_nll(model, x[:3], y)
    with pytest.raises(ValueError, match="`y`"):
        kr.functional.sequence_nll(model, x, y.astype("float32"))
    with pytest.raises(ValueError, match="batch_size"):
        kr.functional.sequence_nll(model, x, y, batch_size=0)
