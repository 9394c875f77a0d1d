"""KLRegularizer: the divergence in the loss, and its weight as a saved variable."""

import keras
import numpy as np
from keras import ops

import keras_reweight as kr
from tests.reweight.layers.test_gaussian_sampling import reference  # noqa: F401

MEAN, LOG_VARIANCE = np.array([[0.5, -1.0]], "float32"), np.array([[-1.0, 0.2]], "float32")


def divergence(mean, log_variance, prior=1.0):
    mean, log_variance = mean.astype("float64"), log_variance.astype("float64")
    spread = (mean**2 + np.exp(log_variance)) / prior
    return 0.5 * (np.log(prior) - log_variance + spread - 1.0).sum(axis=-1).mean()


def test_reference_number():
    layer = kr.layers.KLRegularizer(1.0)
    layer([MEAN, LOG_VARIANCE])
    np.testing.assert_allclose(float(layer.losses[0]), 0.8196411, atol=1e-6)


def test_the_batch_is_averaged_and_weighted():
    data = np.random.default_rng(1).normal(size=(5, 6)).astype("float32")
    layer = kr.layers.KLRegularizer(0.3)
    layer(data, training=True)
    expected = 0.3 * divergence(data[:, :3], data[:, 3:])
    np.testing.assert_allclose(float(layer.losses[0]), expected, rtol=1e-5)


def test_half_precision_keeps_the_divergence_in_float32():
    layer = kr.layers.KLRegularizer(1.0, dtype="mixed_float16")
    output = layer([MEAN, LOG_VARIANCE], training=True)
    assert keras.backend.standardize_dtype(output.dtype) == "float16"
    assert keras.backend.standardize_dtype(layer.losses[0].dtype) == "float32"
    np.testing.assert_allclose(float(layer.losses[0]), 0.8196411, rtol=1e-3)


def test_the_weight_is_saved_with_the_model(tmp_path):
    inputs = keras.Input((4,))
    model = keras.Model(inputs, kr.layers.KLRegularizer(0.5, name="kl")(inputs))
    model.get_layer("kl").kl_weight.assign(0.125)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert float(ops.convert_to_numpy(loaded.get_layer("kl").kl_weight)) == 0.125
