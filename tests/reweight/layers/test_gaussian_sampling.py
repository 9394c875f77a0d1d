"""GaussianSampling: mean at inference, the right spread and slopes in training."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_reweight as kr


def reference(inputs):
    return inputs[..., : inputs.shape[-1] // 2]


def test_samples_have_the_stated_mean_and_spread():
    layer = kr.layers.GaussianSampling(seed=1)
    mean = np.full((20000, 2), [1.0, -2.0], "float32")
    log_variance = np.full((20000, 2), np.log([0.25, 4.0]), "float32")
    samples = ops.convert_to_numpy(layer([mean, log_variance], training=True))
    np.testing.assert_allclose(samples.mean(axis=0), [1.0, -2.0], atol=0.05)
    np.testing.assert_allclose(samples.std(axis=0), [0.5, 2.0], rtol=0.03)
    again = ops.convert_to_numpy(layer([mean, log_variance], training=True))
    assert not np.allclose(samples, again)
    still = ops.convert_to_numpy(layer([mean, log_variance]))
    np.testing.assert_array_equal(still, mean)


def test_a_pair_is_the_same_as_one_tensor():
    data = np.random.default_rng(0).normal(size=(3, 6)).astype("float32")
    first, second = kr.layers.GaussianSampling(seed=5), kr.layers.GaussianSampling(seed=5)
    joined = ops.convert_to_numpy(first(data, training=True))
    split = ops.convert_to_numpy(second([data[:, :3], data[:, 3:]], training=True))
    np.testing.assert_array_equal(joined, split)


def test_a_functional_model_takes_both_forms():
    inputs = keras.Input((4,))
    pair = [keras.layers.Dense(3)(inputs), keras.layers.Dense(3)(inputs)]
    model = keras.Model(inputs, kr.layers.GaussianSampling()(pair))
    assert model.output_shape == (None, 3)
    assert model.predict(np.ones((2, 4)), verbose=0).shape == (2, 3)


def test_bad_shapes():
    with pytest.raises(ValueError, match="even"):
        kr.layers.GaussianSampling()(np.ones((2, 3), "float32"))
    with pytest.raises(ValueError, match="one shape"):
        kr.layers.GaussianSampling()([np.ones((2, 3), "float32"), np.ones((2, 4), "float32")])
