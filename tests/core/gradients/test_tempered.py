import keras
import numpy as np
import pytest
from keras import ops

from keras_reweight.core.gradients import hessian_vector_product, value_and_grad
from keras_reweight.core.gradients.tempered import tempered_gradient, tempered_hessian_product

X = np.random.default_rng(0).normal(size=(6, 3)).astype("float32")
Y = np.arange(6) % 2


def model(*end):
    keras.utils.set_random_seed(0)
    made = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, "tanh"), *end])
    return made


def host(tensors):
    return [ops.convert_to_numpy(tensor) for tensor in tensors]


@pytest.mark.parametrize(("units", "activation"), [(2, "softmax"), (1, "sigmoid")])
def test_probabilities_are_softened_as_their_logits(units, activation):
    logits = model(keras.layers.Dense(units))
    probable = model(keras.layers.Dense(units, activation))
    probable.set_weights(logits.get_weights())
    name = "sparse_categorical_crossentropy" if units == 2 else "binary_crossentropy"
    of_logits = {
        "softmax": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        "sigmoid": keras.losses.BinaryCrossentropy(from_logits=True),
    }[activation]
    y = Y if units == 2 else Y[:, None].astype("float32")

    def softened(y_true, y_pred):
        return of_logits.call(y_true, y_pred / 5.0)

    _, expected, _ = value_and_grad(logits, X, y, loss=softened)
    for made, loss in ((logits, of_logits), (probable, name)):
        found = tempered_gradient(made, X, y, temperature=5.0, loss=loss)
        for one, two in zip(host(found), host(expected), strict=True):
            np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-6)
    vector = host(expected)
    expected = hessian_vector_product(logits, X, y, vector, loss=softened)
    found = tempered_hessian_product(probable, X, y, vector, temperature=5.0, loss=name)
    for one, two in zip(host(found), host(expected), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-3, atol=1e-7)


def test_masks_of_predictions_stay():
    made = keras.Sequential([keras.Input((4, 1)), keras.layers.Masking(), keras.layers.Dense(1)])
    x = np.array([[[1.0], [2.0], [0.0], [0.0]]], "float32")
    y = np.ones((1, 4, 1), "float32")
    _, expected, _ = value_and_grad(made, x, y, loss="mse")
    found = tempered_gradient(made, x, y, temperature=1.0, loss="mse")
    for one, two in zip(host(found), host(expected), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-6)
