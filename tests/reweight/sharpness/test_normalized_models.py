"""Penalties on gradients through normalization, whose second derivatives a backend may get wrong.

The network is written down in NumPy; its Hessian comes from central differences in float64.
"""

import keras
import numpy as np
from keras import layers, ops

import keras_reweight as kr
from keras_reweight import gradients
from tests.reweight.sharpness.test_udim import differences

_DRAWS = np.random.default_rng(5)
X = _DRAWS.normal(size=(6, 3)).astype("float32")
Y = np.array([0, 1, 1, 0, 1, 0])
#: Kernel and bias, scale and offset twice, kernel and bias.
VALUES = [_DRAWS.normal(scale=0.7, size=shape) for shape in [(3, 4), *[(4,)] * 5, (4, 2), (2,)]]
LABELS = np.eye(2, dtype="float32")[Y]
EPSILON, RATE = 1e-2, 0.1


def network():
    stack = [
        layers.Dense(4, "tanh"),
        layers.BatchNormalization(epsilon=EPSILON),
        layers.LayerNormalization(epsilon=EPSILON),
        layers.Dense(2),
    ]
    made = keras.Sequential([keras.Input((3,)), *stack])
    for variable, value in zip(made.trainable_variables, VALUES, strict=True):
        variable.assign(value.astype("float32"))
    return made


def normalized(h, axis, scale, offset):
    centered = h - h.mean(axis=axis, keepdims=True)
    variance = (centered**2).mean(axis=axis, keepdims=True)
    return centered / np.sqrt(variance + EPSILON) * scale + offset


def outputs(kernel, bias, scale, offset, other_scale, other_offset, last, last_bias):
    h = normalized(np.tanh(X @ kernel + bias), 0, scale, offset)
    return normalized(h, 1, other_scale, other_offset) @ last + last_bias


def loss(*values):
    return ((outputs(*values) - LABELS) ** 2).mean()


def mean_output(*values):
    return outputs(*values).mean()


def slope_and_bend(fn):
    """Gradient, and the Hessian times the normalized gradient."""
    slope = differences(fn, VALUES)
    length = np.sqrt(sum((part**2).sum() for part in slope))
    ends = [
        differences(fn, [v + way * s / length for v, s in zip(VALUES, slope, strict=True)])
        for way in (1e-3, -1e-3)
    ]
    bend = [(up - down) / 2e-3 for up, down in zip(*ends, strict=True)]
    return slope, bend, [part / length for part in slope]


def flat(parts):
    return np.concatenate([np.ravel(part) for part in parts])


def displacement(trainer):
    """What a step adds to the gradient of the loss."""
    eager = {"run_eagerly": keras.backend.backend() == "tensorflow"}
    trainer.compile(keras.optimizers.SGD(RATE), "mse", **eager)
    trainer.fit(X, LABELS, batch_size=6, verbose=0)
    after = [ops.convert_to_numpy(v) for v in trainer.model.trainable_variables]
    slope = flat(differences(loss, VALUES))
    return (flat(VALUES) - flat(after)) / RATE - slope


def assert_bend(found, expected):
    """Within what differences of gradients in float32 give."""
    assert np.abs(expected).max() > 0.05
    np.testing.assert_allclose(found, expected, atol=0.02 * np.abs(expected).max())


def test_hessian_vector_products():
    _, bend, direction = slope_and_bend(loss)
    vector = [part.astype("float32") for part in direction]
    found = gradients.hessian_vector_product(
        network(), X, LABELS, vector, loss="mse", training=True, method="exact"
    )
    assert_bend(flat([ops.convert_to_numpy(part) for part in found]), flat(bend))


def test_the_penalty_on_the_gradient():
    rule = kr.sharpness.GradientNorm(0.5, radius=0.01)
    found = displacement(kr.sharpness.SharpnessAware(network(), rule))
    assert_bend(found, 0.5 * flat(slope_and_bend(loss)[1]))


def test_the_penalty_on_the_sensitivity():
    trainer = kr.sharpness.IGNITE(network(), rho=0.5, radius=0.01, multiplier=1.0)
    assert_bend(displacement(trainer), 0.5 * flat(slope_and_bend(mean_output)[1]))
