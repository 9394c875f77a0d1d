"""Problems that the tests of solvers share."""

from __future__ import annotations

import numpy as np

from keras_compress.post_training import LayerProblem


def formula_data(samples=32, rows=8):
    """Inputs, inputs in the float model, and weights from closed formulas."""
    i, j = np.meshgrid(np.arange(samples), np.arange(rows), indexing="ij")
    inputs = np.sin(1.7 * i + 0.9 * j) + 0.3 * np.cos(2.3 * i * j + 0.4)
    exact = inputs + 0.4 * np.cos(0.5 * i + j) * np.sin(0.3 * i)
    a, b = np.meshgrid(np.arange(rows), np.arange(3), indexing="ij")
    return inputs, exact, np.cos(1.3 * a + 2.1 * b) * (1.0 + 0.5 * a)


def second_formula_data():
    """Inputs, one of them with another part, and weights."""
    inputs, _, weight = formula_data(24, 6)
    inputs[:, 2] += 0.2 * np.sin(0.7 * np.arange(24))
    return inputs, weight


def random_problem(rows=24, outputs=10, bits=3, seed=0, drift=0.0, **fields):
    """Correlated inputs of different sizes, those of the float model `drift` away."""
    generator = np.random.default_rng(seed)
    mix = generator.normal(size=(rows, rows)) * np.exp(0.7 * generator.normal(size=(rows, 1)))
    exact = generator.normal(size=(8 * rows, rows)) @ mix / np.sqrt(rows)
    inputs = exact + drift * exact.std(axis=0) * generator.normal(size=exact.shape)
    weight = generator.normal(size=(rows, outputs)) / np.sqrt(rows)
    return LayerProblem.from_inputs(weight, inputs, bits, float_inputs=exact, **fields)


def reference_range(values, bits, symmetric=False):
    """Scale and zero point of one group of numbers."""
    low, high = min(values.min(), 0.0), max(values.max(), 0.0)
    if symmetric:
        high = max(-low, high)
        low = -high
    if low == high == 0.0:
        low, high = -1.0, 1.0
    scale = float(np.float32((high - low) / (2**bits - 1)))
    return scale, (2 ** (bits - 1) if symmetric else round(-low / scale))


def reference_rounded(value, scale, zero_point, bits):
    code = min(max(round(value / scale) + zero_point, 0), 2**bits - 1)
    return scale * (code - zero_point)


def reference_solution(
    problem,
    damping=0.01,
    act_order=False,
    static_groups=False,
    alpha=0.0,
    residual=0.0,
    keep_weights=False,
    block=128,
):
    """GPTQ and its corrections, weight by weight, with explicit inverses of what is left over."""
    weight = problem.weight.copy()
    rows, outputs = weight.shape
    gram = problem.gram.copy()
    cross = np.zeros_like(gram) if problem.cross is None else problem.cross.copy()
    for row in range(rows):
        if gram[row, row] == 0.0:
            gram[row, row] = 1.0
            weight[row] = 0.0
            cross[:, row] = 0.0
    together = cross + problem.gram
    order = list(range(rows))
    if act_order:
        order.sort(key=lambda row: (-gram[row, row], row))
    weight, gram = weight[order], gram[order][:, order]
    cross, together = cross[order][:, order], together[order][:, order]
    damped = gram + damping * np.mean(np.diag(gram)) * np.eye(rows)
    factor = np.linalg.cholesky(np.linalg.inv(damped)).T
    drift = alpha * np.triu(cross @ factor.T, 1) @ factor
    pull = residual * np.triu(together @ factor.T, 1) @ factor
    original, result = weight.copy(), np.zeros_like(weight)
    size = problem.group_size or rows
    first = {}
    for row in range(rows):
        inverse = np.linalg.inv(damped[row:, row:])
        for output in range(outputs):
            begin = row - row % size
            if act_order or static_groups:
                group = [p for p in range(rows) if order[p] // size == order[row] // size]
                values = original[group, output]
                found = reference_range(values, problem.bits, problem.symmetric)
            else:
                if row == begin:
                    values = weight[row : row + size, output]
                    first[output] = reference_range(values, problem.bits, problem.symmetric)
                found = first[output]
            now = weight[row, output]
            rounded = reference_rounded(now, *found, problem.bits)
            result[row, output] = rounded
            low, high = -found[0] * found[1], found[0] * (2**problem.bits - 1 - found[1])
            for later in range(row + 1, rows):
                value = now
                if later // block != row // block:
                    value = min(max(now, low), high) if keep_weights else rounded
                weight[later, output] += (
                    -(now - rounded) * inverse[0, later - row] / inverse[0, 0]
                    + drift[row, later] * value
                    + pull[row, later] * (original[row, output] - value)
                )
    back = np.argsort(order)
    return result[back]
