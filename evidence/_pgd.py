"""Projected gradient descent on images, and training on what it finds."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from keras_reweight.gradients import make_input_gradient


class Attack:
    """Adversarial images inside a cube around the given ones, by signed gradient steps.

    Args:
        model: A model of images in `[0, 1]` that gives logits.
        radius: Largest change of a pixel.
        steps: How many steps; each is `2.5 * radius / steps` long.
        random_start: Whether to begin at a random place in the cube.
    """

    def __init__(self, model: keras.Model, radius: float, steps: int, *, random_start: bool = True):
        self.radius, self.steps, self.random_start = radius, steps, random_start

        def losses(x, y):
            return keras.losses.sparse_categorical_crossentropy(
                y, model(x, training=False), from_logits=True
            )

        self._gradient = make_input_gradient(losses, others=model.variables)

    def __call__(self, x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        low, high = np.clip(x - self.radius, 0.0, 1.0), np.clip(x + self.radius, 0.0, 1.0)
        moved = x
        if self.random_start:
            moved = np.clip(x + rng.uniform(-self.radius, self.radius, x.shape), low, high)
        length = 2.5 * self.radius / self.steps
        for _ in range(self.steps):
            direction = np.sign(ops.convert_to_numpy(self._gradient(moved.astype("float32"), y)))
            moved = np.clip(moved + length * direction, low, high)
        return moved.astype("float32")

    def on_all(self, x: np.ndarray, y: np.ndarray, batch: int, seed: int) -> np.ndarray:
        """The attack in batches, with the same random numbers every time."""
        rng = np.random.default_rng(seed)
        parts = range(0, len(x), batch)
        return np.concatenate([self(x[i : i + batch], y[i : i + batch], rng) for i in parts])


def train_adversarially(
    model: keras.Model,
    attack: Attack,
    x: np.ndarray,
    y: np.ndarray,
    *,
    epochs: int,
    batch: int,
    seed: int,
) -> None:
    """Every batch is replaced by adversarial images made from the present weights."""
    rng = np.random.default_rng(seed)
    for _ in range(epochs):
        rows = rng.permutation(len(x))
        for begin in range(0, len(x) - batch + 1, batch):
            part = rows[begin : begin + batch]
            model.train_on_batch(attack(x[part], y[part], rng), y[part])
