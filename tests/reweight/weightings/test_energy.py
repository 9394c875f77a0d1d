"""Energy: official vector and what depends on the offset of the logits."""

import numpy as np
from keras import ops

import keras_reweight as kr

LOGITS = np.array([[2, 0, -1], [8, 1, 0], [0, 0, 0], [-3, -3, -3], [-np.log(3)] * 3], "float32")
# Made by running the official code on LOGITS.
OFFICIAL = [0.4389857, 0.1249753, 0.7213475, 0.4900534, 1.442695]


def reference(y_pred, normalization=None):
    energies = [-np.log(sum(np.exp(value) for value in row)) for row in np.asarray(y_pred)]
    weights = np.array([1 / np.log(1 + np.exp(abs(energy))) for energy in energies])
    return (
        weights / {None: 1.0, "mean_one": weights.mean(), "sum_one": weights.sum()}[normalization]
    )


def test_official_vector():
    found = ops.convert_to_numpy(kr.weightings.Energy()(np.ones(5, "float32"), y_pred=LOGITS))
    np.testing.assert_allclose(found, OFFICIAL, rtol=1e-6)
    np.testing.assert_allclose(reference(LOGITS), OFFICIAL, atol=1e-7)


def test_normalized_over_what_counts():
    mask = np.array([True, False, True, True, False])
    weighting = kr.weightings.Energy("mean_one")
    found = ops.convert_to_numpy(weighting(np.ones(5, "float32"), y_pred=LOGITS, mask=mask))
    np.testing.assert_allclose(found[mask], reference(LOGITS[mask], "mean_one"), rtol=1e-5)
    assert not found[~mask].any()


def test_large_logits_and_their_offset():
    logits = np.array([[1e4, 0.0], [0.0, 3.0], [5.0, 8.0]], "float32")
    found = ops.convert_to_numpy(kr.weightings.Energy()(np.ones(3, "float32"), y_pred=logits))
    np.testing.assert_allclose(found[0], 1e-4, rtol=1e-6)
    assert found[1] > 2 * found[2]


def test_tokens():
    logits = LOGITS[None, :4].reshape(2, 2, 3)
    found = kr.weightings.Energy()(np.ones((2, 2), "float32"), y_pred=logits)
    np.testing.assert_allclose(ops.convert_to_numpy(found).ravel(), OFFICIAL[:4], rtol=1e-6)
