"""What balancers solve, by SciPy, and statistics of given gradients."""

from __future__ import annotations

import numpy as np
from keras import ops
from scipy import optimize

import keras_reweight as kr
from keras_reweight.core.testing.backends import evaluate


def tensors(gradients, losses=None, step=0, epoch=0, largest=None, mean=None):
    gradients = np.asarray(gradients, "float32")
    losses = np.ones(len(gradients), "float32") if losses is None else losses
    parts = [losses, gradients @ gradients.T, largest, mean]
    arrays = [None if part is None else np.asarray(part, "float32") for part in parts]
    return [*arrays, np.int32(step), np.int32(epoch)]


def weights(balancer, gradients, **statistics):
    """Weights of the first step."""
    losses, gram, largest, mean, step, epoch = tensors(gradients, **statistics)

    def found(losses, gram):
        shown = kr.tasks.TaskStatistics(losses, gram, largest, mean, step, epoch)
        state = {
            key: ops.convert_to_tensor(value)
            for key, value in balancer.initial(len(gradients)).items()
        }
        return balancer.weights(shown, state)[0]

    return evaluate(found, losses, gram)


def run(balancer, shown):
    """Weights of each step in turn; `shown` are `TaskStatistics` of arrays."""
    count = len(shown[0].losses)
    state = {k: ops.convert_to_tensor(v) for k, v in balancer.initial(count).items()}
    found = []
    for statistics in shown:
        weights, state = balancer.weights(
            kr.tasks.TaskStatistics(
                *(None if part is None else ops.convert_to_tensor(part) for part in statistics)
            ),
            state,
        )
        found.append(ops.convert_to_numpy(weights))
    return np.array(found), {key: ops.convert_to_numpy(value) for key, value in state.items()}


def on_simplex(objective, count):
    """Where a convex function of weights that sum to one is smallest."""
    found = optimize.minimize(
        objective,
        np.full(count, 1.0 / count),
        bounds=[(0.0, 1.0)] * count,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1.0},
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 500},
    )
    return found.x


def shortest(gram):
    gram = np.asarray(gram, "float64")
    return on_simplex(lambda w: w @ gram @ w / np.trace(gram), len(gram))


def conflict_averse(gram, c):
    gram = np.asarray(gram, "float64")
    count = len(gram)
    scale = np.trace(gram) / count
    scaled, even = gram / scale, np.full(count, 1.0 / count)
    radius = c * np.sqrt(even @ scaled @ even)
    w = on_simplex(lambda w: w @ scaled @ even + radius * np.sqrt(w @ scaled @ w + 1e-12), count)
    return (even + radius / np.sqrt(w @ scaled @ w) * w) / (1.0 + c * c)


def unconflicting(gram):
    gram = np.asarray(gram, "float64")
    count = len(gram)
    gram = gram / np.trace(gram) + 1e-4 * np.eye(count)
    total = np.zeros(count)
    for place in range(count):
        low = np.eye(count)[place] / count
        found = optimize.minimize(
            lambda v: v @ gram @ v,
            low,
            jac=lambda v: 2.0 * gram @ v,
            bounds=[(bound, None) for bound in low],
            method="L-BFGS-B",
            options={"ftol": 1e-16, "gtol": 1e-12},
        )
        total += found.x
    return total
