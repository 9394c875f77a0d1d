"""gradient_variance_gap: gradients of single samples, one by one and by autodiff."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_reweight import gradients
from keras_reweight.functional import gradient_variance_gap


def of_gradients(here, there, norm_weight=1.0):
    """From the gradients of all samples by a list of variables, a leading axis of samples each."""
    total = 0.0
    for g, s in zip(here, there, strict=True):
        mean = g.mean(axis=0)
        gap = ((g - mean) ** 2).mean(axis=0) - ((s - mean) ** 2).mean(axis=0)
        average = 0.5 * (((g - mean) ** 2).mean(axis=0) + ((s - mean) ** 2).mean(axis=0))
        halves = [((g - mean) ** 2).mean(axis=0), ((s - mean) ** 2).mean(axis=0)]
        stated = 0.5 * sum(((half - average) ** 2).mean() for half in halves)
        np.testing.assert_allclose(stated, (gap**2).mean() / 4.0)
        norms = (s**2).reshape(len(s), -1).sum(axis=1)
        total += stated + norm_weight * norms.mean() / s[0].size
    return total


def reference(features, errors, shifted_features, shifted_errors, norm_weight):
    here = [features[:, :, None] * errors[:, None, :], errors]
    there = [shifted_features[:, :, None] * shifted_errors[:, None, :], shifted_errors]
    return of_gradients(here, there, norm_weight)


def inputs():
    shapes = {"features": (6, 4), "errors": (6, 3)}
    shifted = {"shifted_features": (5, 4), "shifted_errors": (5, 3)}
    draws = {**shapes, **shifted}
    generator = np.random.default_rng(1)
    return {name: generator.normal(size=shape).astype("float32") for name, shape in draws.items()}


def network():
    layers = [keras.layers.Dense(4, "tanh"), keras.layers.Dense(3, name="last")]
    return keras.Sequential([keras.Input((5,)), *layers])


def test_it_is_that_of_gradients_by_autodiff():
    model = network()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    x, shifted = np.random.default_rng(2).normal(size=(2, 4, 5)).astype("float32")
    y = np.arange(4) % 3

    def parts(x):
        features = model.layers[0](x)
        errors = ops.softmax(model.layers[1](features)) - ops.one_hot(y, 3)
        return features, errors

    def each(x):
        found = gradients.per_sample_gradients(model, x, y, loss=loss, variables="last")
        return [ops.convert_to_numpy(part).astype("float64") for part in found]

    for norm_weight in (0.0, 2.0):
        found = gradient_variance_gap(*parts(x), *parts(shifted), norm_weight=norm_weight)
        expected = of_gradients(each(x), each(shifted), norm_weight)
        np.testing.assert_allclose(ops.convert_to_numpy(found), expected, rtol=1e-5)


def test_equal_groups_have_no_gap():
    given = inputs()
    half = (given["features"], given["errors"])
    found = gradient_variance_gap(*half, *half, norm_weight=0.0)
    assert float(ops.convert_to_numpy(found)) == pytest.approx(0.0, abs=1e-12)
