"""Arrays as a dataset whose labels can be replaced between epochs."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from keras_reweight.core.validation import check_boolean, check_integer


class SoftLabelDataset(keras.utils.PyDataset):
    """Batches of `(x, labels)` or `(x, labels, sample_weight)` with labels that can be replaced.

    `fit` takes its targets once; use this where a callback (`CaPE`) or your own code gives the
    samples new labels from epoch to epoch. `set_labels` replaces them, `reset_labels` brings the
    given ones back, `labels` and `hard_labels` are the present and the given ones.

    Args:
        x: Float array of shape `(samples, ...)`, any dtype, or a list or dict of such arrays.
        y: Integer or float array of shape `(samples, ...)`, the given labels.
        batch_size: Integer >= 1. The last batch may be smaller. Defaults to `32`.
        sample_weight: Float array of shape `(samples,)` or `None`. Defaults to `None`.
        shuffle: Boolean, whether every epoch has another order. Defaults to `True`.
        seed: Integer >= 0; the order of an epoch depends on it and on the number of epochs before.
            Defaults to `0`.

    Returns:
        A `keras.utils.PyDataset` for `fit`, `evaluate` and `predict`.

    Raises:
        TypeError: If `batch_size` or `seed` is not an integer, `shuffle` no boolean, or an array
            holds no numbers.
        ValueError: If `batch_size` or `seed` is out of range, or the arrays differ in length.

    Example:

    ```python
    import numpy as np
    import keras_reweight as kr

    dataset = kr.data.SoftLabelDataset(np.ones((6, 2)), np.array([0, 1, 0, 1, 1, 1]), batch_size=4)
    dataset.set_labels(0.9 * dataset.labels + 0.05)
    x, labels = dataset[0]
    dataset.reset_labels()
    ```

    Reference:
        None; container used by `CaPE`.
    """

    def __init__(
        self,
        x: Any,
        y: Any,
        *,
        batch_size: int = 32,
        sample_weight: Any = None,
        shuffle: bool = True,
        seed: int = 0,
    ):
        check_integer("batch_size", batch_size, minimum=1)
        check_boolean("shuffle", shuffle)
        check_integer("seed", seed, minimum=0)
        labels = _numbers("y", y)
        for part in keras.tree.flatten(x):
            _numbers("x", part, len(labels))
        if sample_weight is not None:
            _numbers("sample_weight", sample_weight, len(labels))
        super().__init__()
        self.x = x
        self.y = y
        self.batch_size = batch_size
        self.sample_weight = sample_weight
        self.shuffle = shuffle
        self.seed = seed
        self.num_batches_given = 0
        self._labels: np.ndarray | None = None
        self._epoch = 0
        self._order: np.ndarray | None = None

    @property
    def num_samples(self) -> int:
        """Number of samples."""
        return len(self.y)

    @property
    def hard_labels(self) -> np.ndarray:
        """The labels given at construction, as float32."""
        return np.asarray(self.y, "float32")

    @property
    def labels(self) -> np.ndarray:
        """A copy of the present labels, as float32, in the order of the samples."""
        return np.array(self.hard_labels if self._labels is None else self._labels)

    def set_labels(self, labels: Any) -> None:
        """Give every sample the label of the same index; the shape is that of `y`."""
        labels = np.array(labels, "float32")
        if labels.shape != np.shape(self.y):
            raise ValueError(f"`labels` must have shape {np.shape(self.y)}, got {labels.shape}.")
        self._labels = labels

    def reset_labels(self) -> None:
        """Bring the labels given at construction back."""
        self._labels = None

    def __len__(self) -> int:
        return -(-self.num_samples // self.batch_size)

    def __getitem__(self, index: int):
        if not 0 <= index < len(self):
            raise IndexError(f"Batch {index} of {len(self)}.")
        ids = self._sample_order()[index * self.batch_size : (index + 1) * self.batch_size]
        labels = self.hard_labels if self._labels is None else self._labels
        self.num_batches_given += 1
        batch = (keras.tree.map_structure(lambda part: np.asarray(part)[ids], self.x), labels[ids])
        if self.sample_weight is None:
            return batch
        return (*batch, np.asarray(self.sample_weight)[ids])

    def on_epoch_end(self) -> None:
        self._epoch += 1
        self._order = None

    def _sample_order(self):
        if self._order is None:
            self._order = np.arange(self.num_samples)
            if self.shuffle:
                generator = np.random.default_rng([self.seed, self._epoch])
                self._order = generator.permutation(self.num_samples)
        return self._order


def _numbers(name, value, size=None):
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"`{name}` must hold numbers, got {value!r:.60}.")
    if not array.ndim or not len(array) or (size is not None and len(array) != size):
        wanted = "one entry for each sample" if size is None else f"{size} entries, one a sample"
        raise ValueError(f"`{name}` must have {wanted}, got shape {array.shape}.")
    return array
