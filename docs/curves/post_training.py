"""What the solvers lose on one layer, by bits and by how far its inputs have moved."""

from __future__ import annotations

import numpy as np

from docs.curves._picture import Picture
from keras_compress.post_training import (
    BAQ,
    GPTAQ,
    GPTQ,
    LayerProblem,
    ResComp,
    RoundToNearest,
)


def _layer():
    """Correlated inputs of different sizes, and weights."""
    generator = np.random.default_rng(0)
    sizes = np.exp(0.7 * generator.normal(size=(64, 1)))
    inputs = generator.normal(size=(1024, 64)) @ (sizes * generator.normal(size=(64, 64))) / 8.0
    return inputs, generator.normal(size=(64, 32)) / 8.0


def _solvers():
    inputs, weight = _layer()
    bits = np.arange(2, 7)
    curves = {}
    for label, solver in {
        "rounding": RoundToNearest(),
        "GPTQ": GPTQ(),
        "GPTQ, act_order": GPTQ(act_order=True),
        "BAQ": BAQ(),
    }.items():
        errors = []
        for one in bits:
            problem = LayerProblem.from_inputs(weight, inputs, int(one))
            errors.append(np.log10(problem.error(solver.solve(problem).values())))
        curves[label] = (bits, np.array(errors))
    return curves


def _drift():
    """Relative error against the outputs of the float model, at 2 bits."""
    exact, weight = _layer()
    noise = np.random.default_rng(1).normal(size=exact.shape) * exact.std(axis=0)
    shares = np.linspace(0.0, 0.5, 6)
    goal = exact @ weight
    curves = {}
    for label, solver in {"GPTQ": GPTQ(), "GPTAQ": GPTAQ(), "ResComp": ResComp()}.items():
        errors = []
        for share in shares:
            inputs = exact + share * noise
            problem = LayerProblem.from_inputs(weight, inputs, 2, float_inputs=exact)
            found = inputs @ solver.solve(problem).values()
            errors.append(np.square(found - goal).sum() / np.square(goal).sum())
        curves[label] = (shares, np.array(errors))
    return curves


PICTURES = {
    "solvers": Picture("bits", "log10 of the error of the outputs", _solvers),
    "drift": Picture("change of the inputs", "error of the outputs", _drift),
}
