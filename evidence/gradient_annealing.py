"""A differential equation whose boundary is forgotten, and the weight that brings it back.

Claim: In a physics-informed network the gradient of the residual is so much larger than that of the
boundary that the boundary is not learned; weights annealed by gradient statistics find a value that
works, without a search.

Paper: Wang, Teng and Perdikaris, "Understanding and mitigating gradient pathologies in
physics-informed neural networks", arXiv 2001.04536.

Setting: Helmholtz equation on a square with the solution `sin(pi x) sin(4 pi y)`, zero on the
boundary, residual `u_xx + u_yy + u - q`. Three layers of 50 tanh units, 128 points inside and 128
on the boundary drawn for every step, Adam from 0.001, times 0.9 every 1000 steps, 4000 steps.
Relative L2 error on a grid of 100 x 100. The fixed weights of the boundary were chosen knowing the
answer.

Criterion: The median error with annealed weights is at most half of that without.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from evidence.result import Result
from evidence.training import start
from keras_reweight import tasks
from keras_reweight.gradients import make_input_gradient

SEEDS = 3
POINTS, STEPS = 128, 4_000
ERROR = "relative L2 error"
PLAIN, ANNEALED = "weight 1", "annealed"
BALANCERS = {
    PLAIN: lambda: tasks.FixedWeights(),
    "weight 10": lambda: tasks.FixedWeights([1.0, 10.0]),
    "weight 50": lambda: tasks.FixedWeights([1.0, 50.0]),
    ANNEALED: lambda: tasks.GradientAnnealing(),
}


def run(data, seeds, quick) -> Result:
    del data
    result = Result(summary="median")
    for seed in seeds:
        for arm, balancer in BALANCERS.items():
            error, weight = _solve(balancer(), 200 if quick else STEPS, seed)
            result.append(arm, ERROR, error)
            result.append(arm, "weight of the boundary at the end", weight)
    ratio = result.center(ANNEALED, ERROR) / result.center(PLAIN, ERROR)
    result.at_most(f"error, {ANNEALED} / {PLAIN}", ratio, 0.5)
    return result


def solution(points):
    return np.sin(np.pi * points[:, 0]) * np.sin(4.0 * np.pi * points[:, 1])


def _source(x):
    """What the equation has on its right side for that solution."""
    u = ops.sin(np.pi * x[:, 0]) * ops.sin(4.0 * np.pi * x[:, 1])
    return (1.0 - 17.0 * np.pi**2) * u


def _residual(predict, x, y):
    del y
    inside = x[:, :2]

    def value(points):
        return predict(points)[:, 0]

    slope = make_input_gradient(value, differentiable=True)
    total = value(inside) - _source(inside)
    for axis in (0, 1):
        along = make_input_gradient(lambda p, k=axis: slope(p)[:, k], differentiable=True)
        total = total + along(inside)[:, axis]
    return ops.mean(ops.square(total))


def _boundary(predict, x, y):
    del y
    return ops.mean(ops.square(predict(x[:, 2:])))


def _draw(steps, seed):
    """Points inside and on the boundary, side by side; a row of both for every sample."""
    rng = np.random.default_rng(seed)
    inside = rng.uniform(-1.0, 1.0, size=(steps * POINTS, 2))
    edge = rng.uniform(-1.0, 1.0, size=(steps * POINTS, 2))
    side = rng.integers(0, 4, len(edge))
    edge[np.arange(len(edge)), side % 2] = np.where(side < 2, -1.0, 1.0)
    return np.concatenate([inside, edge], axis=1).astype("float32")


def _solve(balancer, steps, seed):
    start(seed)
    layers = [keras.layers.Dense(50, "tanh") for _ in range(3)]
    model = keras.Sequential([keras.Input((2,)), *layers, keras.layers.Dense(1)])
    objectives = {"residual": _residual, "boundary": _boundary}
    trainer = tasks.LossBalancing(model, balancer, objectives=objectives)
    rate = keras.optimizers.schedules.ExponentialDecay(1e-3, 1000, 0.9)
    trainer.compile(keras.optimizers.Adam(rate))
    trainer.fit(_draw(steps, seed), batch_size=POINTS, shuffle=False, verbose=0)
    axis = np.linspace(-1.0, 1.0, 100)
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
    found = model.predict(grid.astype("float32"), batch_size=10_000, verbose=0)[:, 0]
    wanted = solution(grid)
    error = np.linalg.norm(found - wanted) / np.linalg.norm(wanted)
    return float(error), trainer.task_weights["boundary"]
