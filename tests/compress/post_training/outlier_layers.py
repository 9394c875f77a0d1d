"""Weight matrices with inputs that are hard to quantize for, made by formula or by NumPy."""

from __future__ import annotations

import numpy as np

from keras_compress.post_training import LayerProblem


def formula() -> tuple[np.ndarray, np.ndarray]:
    """Inputs `(24, 6)` and kernel `(6, 3)` of the published numbers."""
    i, j = np.meshgrid(np.arange(24.0), np.arange(6.0), indexing="ij")
    inputs = np.sin(1.7 * i + 0.9 * j) + 0.3 * np.cos(2.3 * i * j + 0.4)
    inputs += 0.2 * (j == 2) * np.sin(0.7 * i)
    a, b = np.meshgrid(np.arange(6.0), np.arange(3.0), indexing="ij")
    return inputs, np.cos(1.3 * a + 2.1 * b) * (1.0 + 0.5 * a)


def outlier_problem(bits: int = 3, rows: int = 32, seed: int = 0, **fields) -> LayerProblem:
    """Independent inputs, two of them twenty times as large as the others."""
    generator = np.random.default_rng(seed)
    inputs = generator.normal(size=(256, rows))
    inputs[:, [3, rows - 2]] *= 20.0
    weight = generator.normal(size=(rows, 16)) / np.sqrt(rows)
    return LayerProblem.from_inputs(weight, inputs, bits, **fields)


def correlated_problem(bits: int = 3, rows: int = 48, seed: int = 0, **fields) -> LayerProblem:
    """Correlated inputs of different sizes."""
    generator = np.random.default_rng(seed)
    mixing = generator.normal(size=(rows, rows)) * np.exp(0.7 * generator.normal(size=(rows, 1)))
    inputs = generator.normal(size=(300, rows)) @ mixing * np.exp(0.6 * generator.normal(size=rows))
    weight = generator.normal(size=(rows, 16)) / np.sqrt(rows)
    return LayerProblem.from_inputs(weight, inputs, bits, **fields)
