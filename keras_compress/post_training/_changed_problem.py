"""The problem of a weight matrix whose inputs were scaled or rotated."""

from __future__ import annotations

import dataclasses

import numpy as np

from keras_compress.grids.hadamard import hadamard_transform
from keras_compress.post_training.layer_problem import LayerProblem


def scaled_problem(problem: LayerProblem, scale: np.ndarray) -> LayerProblem:
    """Rows times `scale` `(rows,)`, inputs divided by it: the products stay the same."""
    inverse = 1.0 / scale
    return _changed(
        problem,
        weight=problem.weight * scale[:, None],
        gradient=lambda gradient: gradient * inverse[:, None],
        products=lambda matrix: matrix * inverse[:, None] * inverse,
        inputs=lambda rows: rows * inverse,
        mean_abs=lambda vector: vector * inverse,
    )


def rotated_problem(problem: LayerProblem, signs: np.ndarray) -> LayerProblem:
    """Inputs and rows turned by `diag(signs) H / sqrt(rows)`, `H` Hadamard's matrix."""

    def turn(matrix):
        return hadamard_transform(np.asarray(matrix, "float64") * signs[:, None])

    found = _changed(
        problem,
        weight=turn(problem.weight),
        gradient=turn,
        products=lambda matrix: turn(turn(matrix).T).T,
        inputs=lambda rows: turn(rows.T).T,
        mean_abs=lambda vector: None,
    )
    if problem.mean_abs is None:
        return found
    if found.inputs is not None:
        mean_abs = np.abs(found.inputs).mean(axis=0)
    else:
        # That of a normal distribution of this second moment: sums of many inputs are nearly one.
        mean_abs = np.sqrt(np.diag(problem_gram(found)) / np.pi)
    return dataclasses.replace(found, mean_abs=mean_abs)


def problem_gram(problem: LayerProblem) -> np.ndarray:
    """`2 X^T X / n`, from the rows of inputs if it was not collected."""
    if problem.gram is None and problem.inputs is not None:
        return 2.0 / len(problem.inputs) * problem.inputs.T @ problem.inputs
    return problem.required("gram")


def _changed(problem, *, weight, gradient, products, inputs, mean_abs):
    changes = {
        "gradient": gradient,
        "gram": products,
        "cross": products,
        "inputs": inputs,
        "mean_abs": mean_abs,
    }
    found = {
        name: change(getattr(problem, name))
        for name, change in changes.items()
        if getattr(problem, name) is not None
    }
    return dataclasses.replace(problem, weight=weight, **found)
