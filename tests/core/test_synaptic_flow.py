import keras
import numpy as np
import pytest

from keras_reweight.core.synaptic_flow import synaptic_flow


def dense(units, value, **options):
    constant = keras.initializers.Constant(value)
    return keras.layers.Dense(units, kernel_initializer=constant, **options)


def test_product_of_all_paths_through_a_residual_block():
    inputs = keras.Input((2,))
    block, head = dense(2, -0.5, activation="relu"), dense(1, 3.0)
    model = keras.Model(inputs, head(keras.layers.add([inputs, block(inputs)])))
    first, last = synaptic_flow(model, [block.kernel, head.kernel])
    np.testing.assert_allclose(first, np.full((2, 2), 0.5 * 3.0))
    np.testing.assert_allclose(last, np.full((2, 1), 2.0 * 3.0))


def test_several_inputs_and_shapes_that_are_given():
    one, two = keras.Input((2,)), keras.Input((None, 3))
    layer = dense(1, 2.0)
    pooled = keras.layers.GlobalAveragePooling1D()(two)
    model = keras.Model([one, two], layer(keras.layers.concatenate([one, pooled])))
    with pytest.raises(ValueError, match="input_shapes"):
        synaptic_flow(model, [layer.kernel])
    (found,) = synaptic_flow(model, [layer.kernel], [(2,), (4, 3)])
    np.testing.assert_allclose(found, np.full((5, 1), 2.0))


def test_recurrent_layers_are_refused():
    model = keras.Sequential([keras.Input((3, 2)), keras.layers.GRU(2)])
    with pytest.raises(ValueError, match="GRU"):
        synaptic_flow(model, [model.layers[0].cell.kernel])


def test_infinite_weights_are_refused():
    model = keras.Sequential([keras.Input((2,)), dense(2, float("inf"))])
    with pytest.raises(ValueError, match="float32"):
        synaptic_flow(model, [model.layers[0].kernel])
