"""Weights from NumPy: equal on all backends, and JAX compiles no initializers."""

import keras
import numpy as np
import pytest


@pytest.fixture(scope="package", autouse=True)
def numpy_initializers():
    def initialize(self, shape, dtype=None):
        generator = np.random.default_rng(len(shape) + int(np.prod(shape)))
        return generator.normal(scale=0.5, size=shape).astype(dtype)

    with pytest.MonkeyPatch.context() as patch:
        for kind in ("VarianceScaling", "RandomUniform", "Orthogonal"):
            patch.setattr(getattr(keras.initializers, kind), "__call__", initialize)
        yield
