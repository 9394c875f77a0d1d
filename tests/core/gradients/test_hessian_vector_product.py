"""Which second derivative is taken where, and `make_hessian_vector_product`."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_reweight.core.gradients import (
    _backend,
    hessian_vector_product,
    make_hessian_vector_product,
)
from keras_reweight.core.gradients.hessian_vector_product import resolve_method
from keras_reweight.core.testing.compare import assert_close

X = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
Y = np.random.default_rng(1).normal(size=(4, 2)).astype("float32")


def with_layer(layer):
    inputs = keras.Input((3,))
    inner = keras.Sequential([layers.Dense(4, activation="tanh"), layer])
    return keras.Model(inputs, layers.Dense(2)(inner(inputs)))


@pytest.fixture(scope="module")
def normalized():
    return with_layer(layers.LayerNormalization())


def products(model, **named):
    vector = [
        np.random.default_rng(2).normal(size=variable.shape)
        for variable in model.trainable_variables
    ]
    found = hessian_vector_product(model, X, Y, vector, loss="mse", **named)
    return np.concatenate([ops.convert_to_numpy(part).ravel() for part in found])


def test_finite_differences_agree_and_automatic_is_exact(normalized):
    exact = products(normalized, method="exact")
    np.testing.assert_array_equal(products(normalized), exact)
    assert_close(
        products(normalized, method="finite_difference"),
        exact,
        "finite differences",
        relative=5e-3,
        of_largest=2e-3,
    )


def test_where_moments_cannot_be_replaced_the_difference_is_taken(normalized, monkeypatch):
    backend = _backend.active_backend()
    monkeypatch.setattr(backend, "differentiates_moments_twice", lambda: False)
    assert resolve_method(normalized, False) == "finite_difference"
    statistics = with_layer(layers.BatchNormalization())
    assert resolve_method(statistics, True) == "finite_difference"
    assert resolve_method(statistics, False) == "exact"
    statistics.trainable = False
    assert resolve_method(statistics, True) == "exact"
    assert resolve_method(with_layer(layers.RMSNormalization()), True) == "exact"
    assert resolve_method(with_layer(layers.GroupNormalization(2)), False) == "finite_difference"


def test_regularization_bends_the_loss():
    model = keras.Sequential([keras.Input((3,)), layers.Dense(2, kernel_regularizer="l2")])
    difference = products(model, regularization=True) - products(model)
    vector = np.random.default_rng(2).normal(size=(3, 2)).ravel()
    assert_close(difference, [*(0.02 * vector), 0.0, 0.0], "bend", of_largest=1e-5)


def test_any_function():
    w = keras.Variable(np.array([1.0, 2.0], "float32"))
    scale = keras.Variable(np.float32(1.0))
    for method, relative in (("exact", 1e-6), ("finite_difference", 5e-3)):
        function = make_hessian_vector_product(
            lambda: scale * ops.sum(w * w * w), [w], method=method
        )
        for factor in (1.0, 2.0):
            # Not named as read, but noticed.
            scale.assign(factor)
            (found,) = function([np.array([1.0, 1.0])])
            expected = factor * np.array([6.0, 12.0])
            assert_close(ops.convert_to_numpy(found), expected, method, relative=relative)
        (found,) = function([np.zeros(2)])
        np.testing.assert_array_equal(ops.convert_to_numpy(found), 0.0)
    with pytest.raises(ValueError, match="method"):
        make_hessian_vector_product(lambda: w, [w], method="auto")
    with pytest.raises(ValueError, match="scalar"):
        make_hessian_vector_product(lambda: w * w, [w])([np.ones(2)])
