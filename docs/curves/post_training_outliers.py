"""What large inputs cost at few bits, and what the solvers make of them."""

from __future__ import annotations

import numpy as np

from docs.curves._picture import Picture
from keras_compress.post_training import (
    AWQ,
    GPTQ,
    Codebook,
    CoordinateDescent,
    LayerProblem,
    LearnedRounding,
    PowerSearch,
    Rotated,
    RoundToNearest,
)

_BITS = (2, 3, 4, 5, 6)


def _curves(inputs, solvers, symmetric):
    weight = np.random.default_rng(1).normal(size=(64, 32)) / 8.0
    curves = {}
    for label, solver in solvers.items():
        errors = []
        for bits in _BITS:
            problem = LayerProblem.from_inputs(weight, inputs, bits, symmetric=symmetric)
            errors.append(np.log10(problem.error(solver.solve(problem).values())))
        curves[label] = (np.array(_BITS), np.array(errors))
    return curves


def _outliers():
    """Two of 64 independent inputs are twenty times as large as the others."""
    inputs = np.random.default_rng(0).normal(size=(512, 64))
    inputs[:, [5, 40]] *= 20.0
    return _curves(
        inputs,
        {
            "rounding": RoundToNearest(),
            "GPTQ": GPTQ(),
            "AWQ": AWQ(),
            "Rotated(GPTQ)": Rotated(GPTQ()),
        },
        False,
    )


def _correlated():
    """Inputs mixed by a random matrix."""
    generator = np.random.default_rng(0)
    inputs = generator.normal(size=(512, 64)) @ generator.normal(size=(64, 64))
    return _curves(
        inputs,
        {
            "rounding": RoundToNearest(),
            "PowerSearch": PowerSearch(shared=False),
            "LearnedRounding": LearnedRounding(steps=300),
            "CoordinateDescent": CoordinateDescent(RoundToNearest()),
            "Codebook, learned": Codebook(mapping="learned", rounds=1),
        },
        True,
    )


PICTURES = {
    "outliers": Picture("bits", "log10 of the error of the outputs", _outliers),
    "correlated": Picture("bits", "log10 of the error of the outputs", _correlated),
}
