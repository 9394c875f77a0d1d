"""Batches of several samples of several classes."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from keras_reweight.core.validation import check_integer
from keras_reweight.data.pack_targets import pack_targets


class ClassBalancedBatches(keras.utils.PyDataset):
    """Batches with the same number of samples of each of a few classes.

    Use it for metric losses, which need positives and negatives in every batch, and wherever rare
    classes shall be seen as often as frequent ones. Classes and, within each class, samples are
    drawn without repetition until they are used up; a class with too few samples for a batch
    repeats them there. The batches of an epoch follow from `seed` and the number of epochs that
    ended before alone, and every epoch has its own. (Keras ends one epoch before the first, when
    `fit` looks at the data.)

    Args:
        x: Inputs: an array of shape `(num_samples, ...)` and any dtype, or a dict, list or tuple of
            such arrays.
        y: Class ids of shape `(num_samples,)` or `(num_samples, 1)`, an array of integers, or
            one-hot labels of shape `(num_samples, classes)`; batches hold them as they are.
        classes_per_batch: Integer >= 1, different classes in a batch.
        samples_per_class: Integer >= 1, samples of each of them.
        batches_per_epoch: Integer >= 1, or `None`: as many batches as `num_samples` fills, at
            least one. Defaults to `None`.
        sample_id: Integer array of shape `(num_samples,)`; targets are then packed with the ids
            as `kr.data.pack_targets` does. Defaults to `None`.
        seed: Integer >= 0. Defaults to `0`.

    Returns:
        A `keras.utils.PyDataset` for `fit`; `dataset[i]` gives `(x, y)` of the i-th batch of the
        current epoch, grouped by class.

    Raises:
        TypeError: If an integer is of another type, or `x` or `y` holds something else than arrays.
        ValueError: If an integer is too small, the arrays differ in length, or there are fewer
            classes than `classes_per_batch`.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    x = np.random.default_rng(0).normal(size=(30, 4)).astype("float32")
    y = np.arange(30) % 5
    batches = kr.data.ClassBalancedBatches(x, y, classes_per_batch=3, samples_per_class=4)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    model.compile("adam", kr.losses.MultiSimilarityLoss())
    model.fit(batches, epochs=2, verbose=0)
    ```

    Reference:
        Hermans, Beyer and Leibe, "In Defense of the Triplet Loss for Person Re-Identification",
        2017, arXiv 1703.07737, section 2, for batches of P classes and K samples.

    Cost:
        The plan of one epoch, an integer array of shape `(batches_per_epoch, batch)`.
    """

    def __init__(
        self,
        x: Any,
        y: Any,
        *,
        classes_per_batch: int,
        samples_per_class: int,
        batches_per_epoch: int | None = None,
        sample_id: Any = None,
        seed: int = 0,
    ):
        super().__init__()
        check_integer("classes_per_batch", classes_per_batch, minimum=1)
        check_integer("samples_per_class", samples_per_class, minimum=1)
        if batches_per_epoch is not None:
            check_integer("batches_per_epoch", batches_per_epoch, minimum=1)
        check_integer("seed", seed, minimum=0)
        labels = _labels(y)
        for leaf in keras.tree.flatten(x):
            if not isinstance(leaf, np.ndarray) or not leaf.ndim:
                raise TypeError(
                    f"`x` must hold arrays, got {leaf!r} of type {type(leaf).__name__}."
                )
            if len(leaf) != len(labels):
                raise ValueError(
                    f"`x` must hold arrays of the length of `y`, {len(labels)}, got {len(leaf)}."
                )
        self._rows = [np.flatnonzero(labels == label) for label in np.unique(labels)]
        if len(self._rows) < classes_per_batch:
            raise ValueError(
                f"`classes_per_batch`={classes_per_batch!r} is more than the {len(self._rows)} "
                "classes in `y`."
            )
        if sample_id is not None:
            pack_targets(y, sample_id=sample_id)
        self.x = x
        self.y = y
        self.classes_per_batch = classes_per_batch
        self.samples_per_class = samples_per_class
        self.batches_per_epoch = batches_per_epoch
        self.sample_id = sample_id
        self.seed = seed
        self._epoch = 0
        self._plan = self._planned()

    @property
    def batch_size(self) -> int:
        """Samples in every batch."""
        return self.classes_per_batch * self.samples_per_class

    def __len__(self) -> int:
        if self.batches_per_epoch is not None:
            return self.batches_per_epoch
        return max(len(self.y) // self.batch_size, 1)

    def __getitem__(self, index: int):
        rows = self._plan[index]
        inputs = keras.tree.map_structure(lambda array: array[rows], self.x)
        if self.sample_id is None:
            return inputs, self.y[rows]
        return inputs, pack_targets(self.y[rows], sample_id=np.asarray(self.sample_id)[rows])

    def on_epoch_end(self) -> None:
        """Plan the batches of the next epoch."""
        self._epoch += 1
        self._plan = self._planned()

    def _planned(self) -> np.ndarray:
        generator = np.random.default_rng([self.seed, self._epoch])
        classes = _Draws(np.arange(len(self._rows)), generator)
        samples = [_Draws(rows, generator) for rows in self._rows]
        plan = [
            np.concatenate(
                [
                    samples[label].take(self.samples_per_class)
                    for label in classes.take(self.classes_per_batch)
                ]
            )
            for _ in range(len(self))
        ]
        return np.stack(plan)


class _Draws:
    """Values in random order, all of them before any comes again, none twice in one draw."""

    def __init__(self, values: np.ndarray, generator: np.random.Generator):
        self._values, self._generator = values, generator
        self._left = generator.permutation(values)

    def take(self, number: int) -> np.ndarray:
        if number > len(self._values):
            rounds = -(-number // len(self._values))
            shuffled = [self._generator.permutation(self._values) for _ in range(rounds)]
            return np.concatenate(shuffled)[:number]
        if number > len(self._left):
            # The next round begins with what this draw does not hold yet.
            fresh = self._generator.permutation(np.setdiff1d(self._values, self._left))
            drawn = np.concatenate([self._left, fresh[: number - len(self._left)]])
            rest = np.setdiff1d(self._values, drawn[len(self._left) :])
            self._left = self._generator.permutation(rest)
            return drawn
        drawn, self._left = self._left[:number], self._left[number:]
        return drawn


def _labels(y):
    if not isinstance(y, np.ndarray) or y.ndim not in (1, 2) or not len(y):
        raise TypeError(
            "`y` must be an array of class ids, shape (num_samples,) or (num_samples, 1), or of "
            f"one-hot labels, shape (num_samples, classes), got {y!r} of type {type(y).__name__}."
        )
    if y.ndim == 2:
        return y.argmax(axis=1) if y.shape[1] > 1 else y[:, 0]
    return y
