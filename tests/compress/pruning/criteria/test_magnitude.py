import keras
import numpy as np

from keras_compress.pruning import Magnitude


def test_absolute_values():
    weight = np.array([[-2.0, 0.0], [0.5, -0.0]], "float32")
    np.testing.assert_array_equal(Magnitude().score(weight), [[2.0, 0.0], [0.5, 0.0]])


def test_config_round_trip():
    config = keras.saving.serialize_keras_object(Magnitude())
    assert keras.saving.deserialize_keras_object(config) == Magnitude()
