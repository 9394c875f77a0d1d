"""A linear model with two outputs, whose gradients are known."""

from __future__ import annotations

import keras
import numpy as np

_DRAWS = np.random.default_rng(2)
KERNELS = {"a": _DRAWS.normal(size=(4, 1)), "b": _DRAWS.normal(size=(4, 1))}
TRUNK = _DRAWS.normal(size=(3, 4))
X = _DRAWS.normal(size=(8, 3)).astype("float32")
Y = {key: _DRAWS.normal(size=(8, 1)).astype("float32") for key in "ab"}
RATE = 0.1


def model() -> keras.Model:
    inputs = keras.Input((3,))
    trunk = keras.layers.Dense(4, use_bias=False, name="trunk")
    heads = {key: keras.layers.Dense(1, use_bias=False, name=key) for key in "ab"}
    features = trunk(inputs)
    made = keras.Model(inputs, {key: head(features) for key, head in heads.items()})
    trunk.kernel.assign(TRUNK.astype("float32"))
    for key, head in heads.items():
        head.kernel.assign(KERNELS[key].astype("float32"))
    return made


def losses_and_gradients() -> tuple[np.ndarray, list[list[np.ndarray]]]:
    """Mean squared errors, and their gradients by the trunk, head a and head b."""
    x = X.astype("float64")
    losses, gradients = [], []
    for key in "ab":
        error = x @ TRUNK @ KERNELS[key] - Y[key]
        losses.append(np.mean(error**2))
        slope = 2.0 * error / len(x)
        parts = {"trunk": x.T @ slope @ KERNELS[key].T, key: (x @ TRUNK).T @ slope}
        zeros = {"trunk": TRUNK, **KERNELS}
        gradients.append([parts.get(n, np.zeros(zeros[n].shape)) for n in ("trunk", "a", "b")])
    return np.array(losses), gradients


def gram(gradients) -> np.ndarray:
    rows = np.array([np.concatenate([part.ravel() for part in one]) for one in gradients])
    return rows @ rows.T


def after_a_step(weights, shared_only=False) -> list[np.ndarray]:
    """Trunk, head a, head b after a step of gradient descent on the weighted sum."""
    _, gradients = losses_and_gradients()
    found = []
    for place, value in enumerate((TRUNK, KERNELS["a"], KERNELS["b"])):
        factors = np.ones(2) if shared_only and place else weights
        step = sum(w * one[place] for w, one in zip(factors, gradients, strict=True))
        found.append(value - RATE * step)
    return found


def values_of(trained: keras.Model) -> list[np.ndarray]:
    names = ("trunk", "a", "b")
    return [keras.ops.convert_to_numpy(trained.get_layer(name).kernel) for name in names]
