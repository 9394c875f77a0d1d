import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_reweight.core.gradients import commit_updates, value_and_grad
from keras_reweight.core.testing.compare import assert_close


def test_committed_statistics_are_those_of_a_training_step():
    x = np.random.default_rng(0).normal(size=(8, 3)).astype("float32")
    model = keras.Sequential([keras.Input((3,)), layers.BatchNormalization(momentum=0.9)])
    _, _, updates = value_and_grad(model, x, x, loss="mse", training=True)
    commit_updates(updates)
    normalization = model.layers[0]
    mean = ops.convert_to_numpy(normalization.moving_mean)
    variance = ops.convert_to_numpy(normalization.moving_variance)
    assert_close(mean, 0.1 * x.mean(axis=0), "mean")
    assert_close(variance, 0.9 + 0.1 * x.var(axis=0), "variance")
    commit_updates([])
    with pytest.raises(ValueError, match="shape"):
        commit_updates([(normalization.moving_mean, ops.zeros((4,)))])
