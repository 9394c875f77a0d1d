import keras
import numpy as np

from keras_reweight.core.masks import remove_optimizer_variable, update_optimizer
from keras_reweight.core.variable_memory import add_variable_memory


def test_it_is_a_variable_of_the_optimizer_with_the_given_values():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, use_bias=False)])
    model.compile("sgd", "mse")
    optimizer = update_optimizer(model)
    (kernel,) = model.trainable_variables
    for initial in (np.arange(6, dtype="int8").reshape(2, 3), np.asarray(2.0, "float32")):
        memory = add_variable_memory(optimizer, kernel, initial, name="memory")
        assert any(memory is variable for variable in optimizer.variables)
        found = keras.ops.convert_to_numpy(memory)
        assert found.dtype == initial.dtype
        np.testing.assert_array_equal(found, initial)
        remove_optimizer_variable(optimizer, memory)
