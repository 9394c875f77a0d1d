import keras
import numpy as np
import pytest

from keras_reweight.core.batch_norm import batch_norm_layers, batch_norm_moments

X = np.random.default_rng(0).normal(2.0, 3.0, (20, 3)).astype("float32")


def test_moments_are_those_of_all_batches_together():
    inner = keras.Sequential([keras.Input((3,)), keras.layers.BatchNormalization()])
    model = keras.Sequential([keras.Input((3,)), inner, keras.layers.Dropout(0.5)])
    layers = batch_norm_layers(model)
    ((mean, variance),) = batch_norm_moments(model, layers, [X[:7], X[7:]])
    np.testing.assert_allclose(mean, X.mean(0, dtype="float64"), rtol=1e-6)
    np.testing.assert_allclose(variance, X.var(0, dtype="float64"), rtol=1e-6)
    assert "call" not in vars(layers[0])


def test_a_layer_that_sees_nothing_is_named():
    model = keras.Sequential([keras.Input((3,)), keras.layers.BatchNormalization(name="norm")])
    with pytest.raises(ValueError, match="norm' saw no samples"):
        batch_norm_moments(model, batch_norm_layers(model), [])
