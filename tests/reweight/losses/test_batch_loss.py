"""BatchLoss hands weights and masks to the loss, where Keras would scale its scalar."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_reweight as kr
from keras_reweight.core.testing.backends import with_keras_mask


class Variance(kr.losses.BatchLoss):
    """Weighted variance of the errors."""

    def batch_loss(self, y_true, y_pred, sample_weight):
        errors = ops.reshape(y_true - y_pred, (-1,))
        shares = sample_weight / ops.maximum(ops.sum(sample_weight), 1e-12)
        mean = ops.sum(shares * errors)
        return ops.sum(shares * ops.square(errors - mean))


P = np.array([1.0, -2.0, 4.0, 0.5], "float32")
ZEROS = np.zeros(4, "float32")


def value(tensor):
    return ops.convert_to_numpy(tensor)


def test_weights_are_inside_the_loss():
    weight = np.array([1.0, 0.0, 2.0, 1.0], "float32")
    mean = np.average(P, weights=weight)
    expected = np.average((P - mean) ** 2, weights=weight)
    np.testing.assert_allclose(value(Variance()(ZEROS, P, weight)), expected, rtol=1e-6)
    np.testing.assert_allclose(value(Variance()(ZEROS, P, np.full(4, 7.0))), P.var(), rtol=1e-6)


@pytest.mark.parametrize("shape", [(4,), (4, 1)])
def test_masks_and_weights_are_multiplied(shape):
    mask = np.array([True, True, False, True])
    weight = np.array([1.0, 3.0, 5.0, 1.0], "float32")
    p = with_keras_mask(P, mask)
    found = value(Variance()(ZEROS, p, weight.reshape(shape)))
    expected = value(Variance()(ZEROS[mask], P[mask], weight[mask]))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "mean", "none", None, "sum"])
def test_only_the_sum_is_a_reduction(reduction):
    weight = np.array([1.0, 0.0, 2.0, 1.0], "float32")
    found = value(Variance(reduction=reduction)(ZEROS, P, weight))
    factor = 4.0 if reduction == "sum" else 1.0
    np.testing.assert_allclose(found, factor * value(Variance()(ZEROS, P, weight)), rtol=1e-6)


def test_all_weights_zero_and_scalar_weights():
    assert value(Variance()(ZEROS, P, np.zeros(4))) == 0.0
    np.testing.assert_allclose(value(Variance()(ZEROS, P, 2.0)), P.var(), rtol=1e-6)


def test_more_than_one_weight_a_sample_is_refused():
    with pytest.raises(ValueError, match="sample_weight"):
        Variance()(np.zeros((4, 2)), np.zeros((4, 2)), np.ones((4, 2)))
    with pytest.raises(ValueError, match="mask"):
        Variance()(np.zeros((4, 2)), with_keras_mask(np.zeros((4, 2)), np.ones((4, 2), bool)))


def test_it_must_be_defined():
    with pytest.raises(NotImplementedError, match="batch_loss"):
        kr.losses.BatchLoss()(ZEROS, P)


@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "mixed_bfloat16"])
def test_trains_compiled_with_weights_in_every_precision(policy):
    keras.utils.set_random_seed(0)
    layer = keras.layers.Dense(1, dtype=policy)
    model = keras.Sequential([keras.Input((2,)), layer])
    model.compile(keras.optimizers.SGD(0.1), Variance())
    x = np.random.default_rng(0).normal(size=(8, 2)).astype("float32")
    y, weight = x[:, :1], np.arange(8, dtype="float32")
    first = model.evaluate(x, y, sample_weight=weight, batch_size=8, verbose=0)
    predicted = np.asarray(model.predict(x, verbose=0), "float32")
    expected = value(Variance()(y, predicted, weight))
    np.testing.assert_allclose(first, expected, rtol=1e-3 if policy != "float32" else 1e-6)
    model.fit(x, y, sample_weight=weight, batch_size=8, epochs=3, verbose=0)
    assert model.evaluate(x, y, sample_weight=weight, batch_size=8, verbose=0) < first


def test_two_outputs_and_weights_of_each():
    inputs = keras.Input((2,))
    heads = {name: keras.layers.Dense(1, name=name)(inputs) for name in "ab"}
    model = keras.Model(inputs, heads)
    model.compile("sgd", {"a": Variance(), "b": Variance(reduction="sum")})
    x = np.random.default_rng(0).normal(size=(4, 2)).astype("float32")
    y = {"a": x[:, :1], "b": x[:, 1:]}
    weight = {"a": np.array([1.0, 0.0, 2.0, 1.0]), "b": np.ones(4)}
    found = model.evaluate(x, y, sample_weight=weight, batch_size=4, verbose=0, return_dict=True)
    p = model.predict(x, verbose=0)
    first = value(Variance()(y["a"], p["a"], weight["a"]))
    second = value(Variance(reduction="sum")(y["b"], p["b"], weight["b"]))
    np.testing.assert_allclose(found["loss"], first + second, rtol=1e-5)


def test_weighting_samples_by_their_losses_is_refused():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", Variance())
    reweight = kr.callbacks.Reweight(kr.weightings.LinUpper())
    with pytest.raises(ValueError, match="one scalar"):
        model.fit(P[:, None], P[:, None], verbose=0, callbacks=[reweight])
