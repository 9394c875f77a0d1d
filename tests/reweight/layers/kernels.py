"""NumPy convolutions, and what is checked for every layer with a reparametrized kernel."""

import keras
import numpy as np
from keras import ops
from numpy.lib.stride_tricks import sliding_window_view


def convolved(inputs, kernel, bias):
    """A valid convolution of stride one, channels last, in float64."""
    sizes = kernel.shape[:-2]
    axes = tuple(range(1, 1 + len(sizes)))
    windows = sliding_window_view(np.asarray(inputs, "float64"), sizes, axis=axes)
    # Windows end in the channels and the offsets, kernels in the channels and the outputs.
    by_channel = np.moveaxis(kernel, -2, 0)
    count = len(sizes) + 1
    return np.tensordot(windows, by_channel, (range(-count, 0), range(count))) + bias


def assert_folds(layer, inputs):
    """The plain layer gives the same outputs, and has the weights the layer computed with."""
    outputs = ops.convert_to_numpy(layer(inputs))
    plain = layer.fold()
    assert type(plain) is layer.plain_class and plain.name == layer.name
    found = ops.convert_to_numpy(plain(inputs))
    np.testing.assert_allclose(found, outputs, rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(
        ops.convert_to_numpy(plain.kernel), ops.convert_to_numpy(layer.effective_kernel())
    )


def assert_saves_free_parameters(layer, fresh, inputs, path):
    """Weight files hold the free parameters: loaded into a fresh layer, nothing is transformed."""
    models = []
    for one in (layer, fresh):
        model = keras.Sequential([keras.Input(inputs.shape[1:]), one])
        models.append(model)
    models[0].save_weights(path)
    models[1].load_weights(path)
    for saved, loaded in zip(layer.weights, fresh.weights, strict=True):
        np.testing.assert_array_equal(
            ops.convert_to_numpy(loaded), ops.convert_to_numpy(saved), err_msg=saved.path
        )
    np.testing.assert_array_equal(
        ops.convert_to_numpy(fresh(inputs)), ops.convert_to_numpy(layer(inputs))
    )
