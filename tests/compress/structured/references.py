"""Importances of the hidden layer of a small network, from their formulas, in float64."""

from __future__ import annotations

import numpy as np


def kernels(model):
    """Both kernels of a network with one hidden layer."""
    return [np.asarray(value, "float64") for value in model.get_weights()[::2]]


def members(model, values, per_row):
    """What `per_row` makes of the outgoing and the incoming weights of every hidden unit."""
    first, second = values
    return np.array([per_row(first.T), per_row(second)])


def normalized(scores, normalizer):
    if normalizer == "lamp":
        return np.array([each / scores[scores >= each].sum() for each in scores])
    scale = {"mean": scores.mean(), "sum": scores.sum(), "max": scores.max(), "none": 1.0}
    return scores / scale[normalizer]


def reduced(found, reduction):
    return {
        "mean": found.mean(axis=0),
        "sum": found.sum(axis=0),
        "max": found.max(axis=0),
        "first": found[0],
    }[reduction]


def magnitude(model, p=2, normalizer="mean", reduction="mean"):
    found = members(model, kernels(model), lambda rows: (np.abs(rows) ** p).sum(axis=1))
    return {"hidden": normalized(reduced(found, reduction), normalizer)}


def lamp(model, p=2, reduction="mean"):
    return magnitude(model, p, "lamp", reduction)


def geometric_median(model, normalizer="mean", reduction="mean"):
    def distances(rows):
        return np.array([sum(np.linalg.norm(row - other) for other in rows) for row in rows])

    found = members(model, kernels(model), distances)
    return {"hidden": normalized(reduced(found, reduction), normalizer)}


def sample_gradients(model, data):
    """Gradients of both kernels for every sample: tanh, then the cross-entropy of logits."""
    x, y = np.asarray(data[0], "float64"), data[1]
    first, bias, second, offset = (np.asarray(each, "float64") for each in model.get_weights())
    hidden = np.tanh(x @ first + bias)
    logits = hidden @ second + offset
    chances = np.exp(logits - logits.max(axis=1, keepdims=True))
    chances /= chances.sum(axis=1, keepdims=True)
    error = chances - np.eye(logits.shape[1])[y]
    back = (error @ second.T) * (1.0 - hidden**2)
    return x[:, :, None] * back[:, None, :], hidden[:, :, None] * error[:, None, :]


def taylor(model, data, normalizer="mean", reduction="mean", multivariable=False):
    products = [
        kernel * gradient.mean(axis=0)
        for kernel, gradient in zip(kernels(model), sample_gradients(model, data), strict=True)
    ]

    def per_row(rows):
        return np.abs(rows.sum(axis=1)) if multivariable else np.abs(rows).sum(axis=1)

    found = members(model, products, per_row)
    return {"hidden": normalized(reduced(found, reduction), normalizer)}


def hessian(model, data, normalizer="mean", reduction="mean"):
    products = [
        kernel**2 * np.square(gradient).mean(axis=0)
        for kernel, gradient in zip(kernels(model), sample_gradients(model, data), strict=True)
    ]
    found = members(model, products, lambda rows: rows.sum(axis=1))
    return {"hidden": normalized(reduced(found, reduction), normalizer)}


def pruned(model, kept, scores=None):
    """The weights with the `kept` best hidden units, in their order."""
    scores = magnitude(model)["hidden"] if scores is None else scores
    units = np.sort(np.argsort(scores)[-kept:])
    first, bias, second, offset = model.get_weights()
    return [first[:, units], bias[units], second[units], offset]
