"""A small character model and its data."""

from __future__ import annotations

import keras
import numpy as np

LENGTH = 64


def encode(text: str) -> tuple[np.ndarray, int]:
    """The text as character ids, and the number of different characters."""
    codes = np.frombuffer(text.encode("latin-1", "replace"), "uint8")
    known, ids = np.unique(codes, return_inverse=True)
    return ids.astype("int32"), len(known)


def windows(ids: np.ndarray, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and next characters of shape `(len(starts), LENGTH)`."""
    rows = ids[starts[:, None] + np.arange(LENGTH + 1)]
    return rows[:, :-1], rows[:, 1:]


def network(num_characters: int, units: int = 128) -> keras.Model:
    """Embedding, GRU and a layer of logits."""
    return keras.Sequential(
        [
            keras.Input((LENGTH,), dtype="int32"),
            keras.layers.Embedding(num_characters, 32),
            keras.layers.GRU(units, return_sequences=True),
            keras.layers.Dense(num_characters),
        ]
    )


def cross_entropy() -> keras.losses.Loss:
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def mean_loss(model: keras.Model, x: np.ndarray, y: np.ndarray) -> float:
    """Mean cross-entropy per character, in nats."""
    logits = model.predict(x, batch_size=256, verbose=0).astype("float64")
    top = logits.max(axis=-1, keepdims=True)
    log_sum = top[..., 0] + np.log(np.exp(logits - top).sum(axis=-1))
    return float(np.mean(log_sum - np.take_along_axis(logits, y[..., None], axis=-1)[..., 0]))
