"""Adult with few positives, for the claims about rare classes of two."""

from __future__ import annotations

from dataclasses import dataclass

import keras
import numpy as np


@dataclass(frozen=True)
class Rare:
    """Training, validation and test part; training and test have the same share of positives."""

    x: np.ndarray
    y: np.ndarray
    x_validation: np.ndarray
    y_validation: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray


def rare_positives(
    table, seed: int, *, positives: int, negatives: int, validation: tuple[int, int] = (0, 0)
) -> Rare:
    """Parts with these numbers of positives and negatives; the test part is what is left."""
    generator = np.random.default_rng([seed, 11])
    left = [generator.permutation(np.flatnonzero(table.y == label)) for label in (1, 0)]
    arrays = {}
    for part, sizes in (("", (positives, negatives)), ("_validation", validation)):
        rows = np.concatenate([rows[:size] for rows, size in zip(left, sizes, strict=True)])
        left = [rows[size:] for rows, size in zip(left, sizes, strict=True)]
        arrays[part] = generator.permutation(rows)
    few = left[0][: round(positives / negatives * len(left[1]))]
    arrays["_test"] = generator.permutation(np.concatenate([few, left[1]]))
    return Rare(
        **{f"x{part}": table.x[rows] for part, rows in arrays.items()},
        **{f"y{part}": table.y[rows] for part, rows in arrays.items()},
    )


def network(num_features: int, *, logits: bool = False) -> keras.Model:
    """Two hidden layers and one output, a probability or a logit."""
    return keras.Sequential(
        [
            keras.Input((num_features,)),
            keras.layers.Dense(64, "relu"),
            keras.layers.Dense(32, "relu"),
            keras.layers.Dense(1, None if logits else "sigmoid"),
        ]
    )


def scores(model: keras.Model, x: np.ndarray) -> np.ndarray:
    return model.predict(x, batch_size=2048, verbose=0)[:, 0]
