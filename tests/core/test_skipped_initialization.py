import keras
import numpy as np
from keras import layers

from keras_reweight.core.skipped_initialization import skipped_initialization


def test_values_are_zero_and_the_layer_is_as_before():
    with skipped_initialization() as skip:
        dense, recurrent = skip(layers.Dense(3)), skip(layers.LSTM(2))
        dense.build((None, 2))
        recurrent.build((None, 4, 2))
    for weight in (*dense.weights, *recurrent.weights):
        if weight.name != "bias":
            np.testing.assert_array_equal(keras.ops.convert_to_numpy(weight), 0.0)
    fresh = layers.Dense(3, name=dense.name)
    assert dense.get_config() == fresh.get_config()
    assert isinstance(recurrent.cell.recurrent_initializer, keras.initializers.Orthogonal)
    assert isinstance(dense.kernel_initializer, keras.initializers.GlorotUniform)
