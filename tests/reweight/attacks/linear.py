"""A linear softmax model, whose gradients by the input are known, and attacks on it in NumPy."""

from __future__ import annotations

import keras
import numpy as np

_DRAWS = np.random.default_rng(4)
KERNEL = _DRAWS.normal(size=(5, 3))
BIAS = np.array([0.2, -0.1, 0.0])
X = _DRAWS.uniform(-0.9, 0.9, size=(7, 5)).astype("float32")
Y = np.array([0, 1, 2, 2, 1, 0, 1])
MOVED = (X + _DRAWS.normal(scale=0.4, size=X.shape)).astype("float32")
SCORES = _DRAWS.normal(size=(7, 3)).astype("float32")


def model() -> keras.Model:
    dense = keras.layers.Dense(3)
    made = keras.Sequential([keras.Input((5,)), dense])
    dense.kernel.assign(KERNEL.astype("float32"))
    dense.bias.assign(BIAS.astype("float32"))
    return made


def logits(x) -> np.ndarray:
    return np.asarray(x, "float64") @ KERNEL + BIAS


def softmax(scores) -> np.ndarray:
    e = np.exp(scores - scores.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def reference_margins(y_true, y_pred) -> np.ndarray:
    found = []
    for label, row in zip(np.asarray(y_true, int), np.asarray(y_pred, "float64"), strict=True):
        found.append(np.delete(row, label).max() - row[label])
    return np.array(found)


def gradient(x, y, loss="crossentropy", clean=None) -> np.ndarray:
    """Of the loss of every sample by its input."""
    scores, one_hot = logits(x), np.eye(3)[np.asarray(y, int)]
    if loss == "margin":
        others = np.where(one_hot > 0.5, -np.inf, scores)
        return (np.eye(3)[others.argmax(axis=1)] - one_hot) @ KERNEL.T
    target = one_hot if loss == "crossentropy" else softmax(logits(clean))
    return (softmax(scores) - target) @ KERNEL.T


def reference_project(moved, x, epsilon, norm, clip) -> np.ndarray:
    delta = np.asarray(moved, "float64") - x
    if norm == "linf":
        delta = np.clip(delta, -epsilon, epsilon)
    else:
        size = np.linalg.norm(delta, axis=1, keepdims=True)
        delta = delta * np.minimum(1.0, epsilon / np.maximum(size, 1e-300))
    found = x + delta
    return found if clip is None else np.clip(found, *clip)


def reference_pgd(x, y, ball, step_size, steps, loss) -> np.ndarray:
    """From the sample itself, one start."""
    ball = (
        {"epsilon": ball, "norm": "linf", "clip": (0.0, 1.0)} if np.isscalar(ball) else vars(ball)
    )
    moved = np.asarray(x, "float64")
    for _ in range(steps):
        slope = gradient(moved, y, loss, clean=x)
        if ball["norm"] == "linf":
            way = np.sign(slope)
        else:
            way = slope / np.linalg.norm(slope, axis=1, keepdims=True)
        moved = reference_project(moved + step_size * way, x, **ball)
    return moved
