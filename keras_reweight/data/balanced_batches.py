"""Batches with a fixed share of positives."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from keras_reweight.core.validation import check_integer, check_number


class BalancedBatches(keras.utils.PyDataset):
    """Batches of a binary data set with the same number of positives in each.

    Use it for losses that compare the classes of a batch (`AUCMarginLoss`, `AUCMinMaxLoss`,
    `AnyLoss`) when positives are rare. An epoch is as long as it takes to see every sample of the
    class that lasts longer; the other class begins anew, in another order, whenever it is used up.
    Every epoch is shuffled anew, as a function of `seed` and the number of the epoch.

    Args:
        x: Array of shape `(num_samples, ...)` and any dtype, or a list or dict of such arrays.
        y: Array of shape `(num_samples,)` or `(num_samples, 1)` of labels 0 or 1, any numeric or
            boolean dtype.
        batch_size: Integer >= 2, samples in a batch. Defaults to `32`.
        sampling_rate: Float in (0, 1), share of positives in a batch; at least one sample of each
            class is in it. Defaults to `0.5`.
        seed: Integer >= 0, seed of the order. Defaults to `0`.
        sample_weight: Float array of shape `(num_samples,)` or `None`. Defaults to `None`.
        **kwargs: Options of `keras.utils.PyDataset` (`workers`, ...).

    Returns:
        A `keras.utils.PyDataset` for `fit`; `dataset[i]` is `(x, y)` or `(x, y, sample_weight)` of
        `batch_size` samples, positives first.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If an argument is out of its range, arrays differ in length, a label is not 0 or
            1, or a class is missing.

    Example:

    ```python
    import numpy as np
    import keras_reweight as kr

    x, y = np.ones((50, 4), "float32"), np.arange(50) % 10 == 0
    batches = kr.data.BalancedBatches(x, y, batch_size=8, sampling_rate=0.25)
    assert all(labels.sum() == 2 for _, labels in (batches[i] for i in range(len(batches))))
    ```

    Reference:
        Yuan et al., "Large-scale Robust Deep AUC Maximization", ICCV 2021, arXiv 2012.03173; LibAUC
        `DualSampler`.

    Deviations:
        `DualSampler` drops the rest of the longer class; here the last batch is filled up from its
        next pass.
    """

    def __init__(
        self,
        x: Any,
        y: Any,
        *,
        batch_size: int = 32,
        sampling_rate: float = 0.5,
        seed: int = 0,
        sample_weight: Any = None,
        **kwargs,
    ):
        check_integer("batch_size", batch_size, minimum=2)
        check_number("sampling_rate", sampling_rate, exclusive_minimum=0.0, exclusive_maximum=1.0)
        check_integer("seed", seed, minimum=0)
        labels = _flat_labels(y)
        for name, value in (("x", x), ("sample_weight", sample_weight)):
            for leaf in keras.tree.flatten(value) if value is not None else ():
                shape = np.shape(leaf)
                if not shape or shape[0] != len(labels):
                    raise ValueError(
                        f"`{name}` must hold arrays of {len(labels)} samples like `y`, got "
                        f"{type(leaf).__name__} of shape {shape}."
                    )
        super().__init__(**kwargs)
        self.x = x
        self.y = y
        self.batch_size = batch_size
        self.sampling_rate = sampling_rate
        self.seed = seed
        self.sample_weight = sample_weight
        self._classes = [np.flatnonzero(labels == 1), np.flatnonzero(labels == 0)]
        positives = int(round(batch_size * sampling_rate))
        positives = min(max(positives, 1), batch_size - 1)
        self._counts = [positives, batch_size - positives]
        self._length = max(
            -(-len(members) // count)
            for members, count in zip(self._classes, self._counts, strict=True)
        )
        self._epoch = 0
        self._shuffle()

    def _shuffle(self):
        """The order of each class over the whole epoch: pass after pass, each a permutation."""
        generator = np.random.default_rng([self.seed, self._epoch])
        self._order = []
        for members, count in zip(self._classes, self._counts, strict=True):
            passes = -(-self._length * count // len(members))
            order = [generator.permutation(members) for _ in range(passes)]
            self._order.append(np.concatenate(order))

    @property
    def num_batches(self) -> int:
        return self._length

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int):
        if not 0 <= index < self._length:
            raise IndexError(f"batch {index} of {self._length}")
        rows = np.concatenate(
            [
                order[index * count : (index + 1) * count]
                for order, count in zip(self._order, self._counts, strict=True)
            ]
        )
        x, y = (
            keras.tree.map_structure(lambda leaf: np.asarray(leaf)[rows], value)
            for value in (self.x, self.y)
        )
        if self.sample_weight is None:
            return x, y
        return x, y, np.asarray(self.sample_weight)[rows]

    def on_epoch_end(self):
        self._epoch += 1
        self._shuffle()


def _flat_labels(y):
    try:
        labels = np.asarray(y)
        whole = labels.astype("float64")
    except (TypeError, ValueError) as error:
        raise TypeError(f"`y` must be an array of labels 0 or 1, got {y!r:.60}.") from error
    if labels.ndim == 0 or labels.size != len(labels) or labels.ndim > 2:
        raise ValueError(
            f"`y` must have shape (num_samples,) or (num_samples, 1), got {labels.shape}."
        )
    whole = whole.ravel()
    if not np.isin(whole, (0.0, 1.0)).all():
        raise ValueError(f"`y` must hold labels 0 or 1, got {np.unique(whole)[:10]}.")
    if whole.min() == whole.max():
        raise ValueError(f"`y` must hold both classes, got {len(whole)} labels {whole[0]:g}.")
    return whole
