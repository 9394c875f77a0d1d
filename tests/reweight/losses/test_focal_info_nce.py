"""FocalInfoNCELoss against loops and the numbers of a worked example."""

import numpy as np
from keras import ops

import keras_reweight as kr
from keras_reweight.core.testing.backends import numerical_gradient


def probabilities(y_pred, temperature, normalize):
    y_pred = np.asarray(y_pred, "float64")
    if normalize:
        y_pred = y_pred / np.linalg.norm(y_pred, axis=-1, keepdims=True)
    found = []
    for i, row in enumerate(y_pred):
        scores = np.array([[row[0] @ d for d in other[1:]] for other in y_pred]) / temperature
        found.append(np.exp(scores[i, 0] - scores.max()) / np.exp(scores - scores.max()).sum())
    return np.array(found)


def reference(y_pred, gamma=0.5, temperature=0.05, normalize=True, weights=None):
    p = probabilities(y_pred, temperature, normalize)
    weights = (1 - p) ** gamma if weights is None else weights
    return -weights * np.log(p)


def reference_gradient(y_pred, cotangent, gamma=0.5, temperature=0.05, normalize=True):
    """The weights are constants."""
    weights = (1 - probabilities(y_pred, temperature, normalize)) ** gamma
    return numerical_gradient(
        lambda z: np.sum(cotangent * reference(z, gamma, temperature, normalize, weights)), y_pred
    )


def test_numbers_of_a_worked_example():
    """Two queries along the axes; documents hold the similarities with them."""
    queries = np.eye(2)
    own, hard = np.array([[1, 0.3], [0.2, 0.8]]), np.array([[0.1, 0.75], [0.6, 0.2]])
    y_pred = np.stack([queries, own, hard], axis=1).astype("float32")
    arguments = {"temperature": 0.1, "normalize": False}
    p = probabilities(y_pred, **arguments)
    np.testing.assert_allclose(p, [0.981571, 0.618909], atol=5e-7)
    np.testing.assert_allclose((1 - p) ** 0.5, [0.135752, 0.617326], atol=1e-6)
    expected = reference(y_pred, **arguments).mean()
    np.testing.assert_allclose(expected, 0.1493583, atol=5e-8)
    loss = kr.losses.FocalInfoNCELoss(0.5, **arguments)(np.zeros(2), y_pred)
    np.testing.assert_allclose(ops.convert_to_numpy(loss), expected, rtol=2e-6)


def test_gamma_zero_is_info_nce():
    views = np.random.default_rng(0).normal(size=(6, 2, 4)).astype("float32")
    focal = kr.losses.FocalInfoNCELoss(0.0, temperature=0.3)(np.zeros(6), views)
    plain = kr.losses.InfoNCELoss(0.3, symmetric=False)(np.zeros(6), views)
    np.testing.assert_allclose(ops.convert_to_numpy(focal), ops.convert_to_numpy(plain), rtol=1e-6)
