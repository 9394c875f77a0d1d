"""Relevance of latent axes: brute force, and the closed form of a linear decoder."""

import keras
import numpy as np
import pytest

import keras_reweight as kr

RNG = np.random.default_rng(0)
LATENT = RNG.normal(size=(6, 3)).astype("float32")
VARIANCE = np.array([1.5, 0.2, 0.0])
KERNEL = RNG.normal(size=(3, 4))


def decode(latent):
    """A decoder in float64, so that differences are exact."""
    return np.tanh(np.asarray(latent, "float64") @ KERNEL)


def reference(latent, prior_variance, step=1e-2):
    scores = []
    for axis in range(latent.shape[1]):
        offset = np.zeros(latent.shape[1])
        offset[axis] = step
        slopes = [np.abs(decode(z + offset) - decode(z - offset)) / (2 * step) for z in latent]
        scores.append(prior_variance[axis] * (np.mean(slopes, axis=0) ** 2).sum())
    return np.array(scores)


def test_a_linear_decoder_has_the_squares_of_its_kernel():
    found = kr.functional.relevance_scores(lambda z: z @ KERNEL, LATENT, VARIANCE, step=0.5)
    np.testing.assert_allclose(found, VARIANCE * (KERNEL**2).sum(axis=1), rtol=1e-5)


def test_a_keras_decoder():
    decoder = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, activation="tanh")])
    decoder.set_weights([KERNEL.astype("float32"), np.zeros(4, "float32")])
    found = kr.functional.relevance_scores(decoder, LATENT, VARIANCE, step=0.25)
    np.testing.assert_allclose(found, reference(LATENT, VARIANCE, 0.25), rtol=1e-5)


def test_bad_arguments():
    with pytest.raises(TypeError, match="decoder"):
        kr.functional.relevance_scores("decoder", LATENT, VARIANCE)
    with pytest.raises(ValueError, match="latent"):
        kr.functional.relevance_scores(decode, LATENT[0], VARIANCE)
    with pytest.raises(ValueError, match="prior_variance"):
        kr.functional.relevance_scores(decode, LATENT, VARIANCE[:2])
