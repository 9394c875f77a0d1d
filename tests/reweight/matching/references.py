"""Weight matching of stacks of dense layers, written from the formulas in float64."""

from __future__ import annotations

import itertools

import numpy as np


def layers_of(weights):
    """`[(kernel, bias), ...]`."""
    weights = [np.asarray(weight, "float64") for weight in weights]
    return list(zip(weights[::2], weights[1::2], strict=True))


def permuted(weights, orders):
    """Hidden unit `orders[l][i]` of layer `l` goes to place `i`."""
    found, before = [], None
    for number, (kernel, bias) in enumerate(layers_of(weights)):
        order = orders[number] if number < len(orders) else np.arange(len(bias))
        kernel = kernel if before is None else kernel[before]
        found += [kernel[:, order], bias[order]]
        before = order
    return found


def similarity(first, second):
    return sum(float((a * b).sum()) for a, b in zip(first, second, strict=True))


def brute_force(first, second):
    """The best permutations of all, by trying all of them."""
    sizes = [len(bias) for _, bias in layers_of(second)[:-1]]
    every = itertools.product(*(itertools.permutations(range(size)) for size in sizes))
    found = max(
        (list(map(np.array, orders)) for orders in every),
        key=lambda orders: similarity(first, permuted(second, orders)),
    )
    return found


def best_order(first, second, orders, number):
    """The best permutation of one layer, the others fixed, by trying all."""
    every = map(np.array, itertools.permutations(range(len(orders[number]))))
    return max(
        every,
        key=lambda order: similarity(
            first, permuted(second, [*orders[:number], order, *orders[number + 1 :]])
        ),
    )


def is_coordinate_optimum(first, second, orders):
    """Whether no permutation of a single layer does better, the others fixed."""
    best = similarity(first, permuted(second, orders))
    for number, own in enumerate(orders):
        for other in itertools.permutations(range(len(own))):
            tried = [*orders[:number], np.array(other), *orders[number + 1 :]]
            if similarity(first, permuted(second, tried)) > best + 1e-9:
                return False
    return True


def hidden(weights, x):
    """What every layer but the first reads, for stacks with relu."""
    x, found = np.asarray(x, "float64"), []
    for kernel, bias in layers_of(weights)[:-1]:
        x = np.maximum(x @ kernel + bias, 0.0)
        found.append(x)
    return found


def activation_scores(first, second, x, measure):
    """Correlations, zero where a unit is constant, or inner products, of every hidden layer."""
    scores = []
    for a, b in zip(hidden(first, x), hidden(second, x), strict=True):
        if measure == "inner_product":
            scores.append(a.T @ b)
            continue
        found = np.zeros((a.shape[1], b.shape[1]))
        for i, j in np.ndindex(*found.shape):
            if a[:, i].std() > 0 and b[:, j].std() > 0:
                found[i, j] = np.corrcoef(a[:, i], b[:, j])[0, 1]
        scores.append(found)
    return scores


def best_assignments(scores):
    """By trying all permutations."""
    return [
        np.array(
            max(
                itertools.permutations(range(len(each))),
                key=lambda order: each[np.arange(len(order)), list(order)].sum(),
            )
        )
        for each in scores
    ]


def alignment(first, second):
    """`<A, B>` over the sum of the products of singular values, for every kernel."""
    found = []
    for (a, _), (b, _) in zip(layers_of(first), layers_of(second), strict=True):
        strengths = [np.sqrt(np.maximum(np.linalg.eigvalsh(w @ w.T)[::-1], 0)) for w in (a, b)]
        found.append(np.trace(a.T @ b) / (strengths[0] * strengths[1]).sum())
    return found
