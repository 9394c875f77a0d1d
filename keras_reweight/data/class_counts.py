"""Number of samples of every class."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_reweight.core.aux_targets import split_targets
from keras_reweight.core.validation import check_integer


def class_counts(
    y: Any,
    num_classes: int | None = None,
    *,
    minimum: int = 0,
    ignore_class: int | None = None,
    verbose: int = 1,
) -> np.ndarray:
    """Count the labels of every class, once, before training.

    Use it for the `class_counts` of weightings and losses. Labels are class ids of any shape
    (samples, tokens, pixels) or one-hot vectors on the last axis; an array of zeros and ones with a
    single one in every row counts as one-hot. The data are run through once; a data set that
    repeats itself forever is refused.

    Args:
        y: Array of labels, or batches of `(x, y)` or `(x, y, sample_weight)`: a `tf.data.Dataset`,
            a `keras.utils.PyDataset`, a PyTorch `DataLoader`, any iterable. Labels of dtype
            integer, boolean or integral float, shape `(samples, ...)`; in batches also packed by
            `pack_targets`.
        num_classes: Integer >= 1, number of classes, or `None` for the largest id plus one.
            Defaults to `None`.
        minimum: Integer >= 0, smallest count that is returned; `1` makes the counts of classes
            without samples fit for losses. Defaults to `0`.
        ignore_class: Integer, an id that is not counted (padding), or `None`. Defaults to `None`.
        verbose: `0` or `1`, whether batches are counted with a progress bar. Defaults to `1`.

    Returns:
        Int64 NumPy array of shape `(num_classes,)`.

    Raises:
        TypeError: If `y` is nothing of the above, or an argument has the wrong type.
        ValueError: If there are no labels, labels are no class ids or outside the classes, or the
            data have no end.

    Example:

    ```python
    import numpy as np
    import keras_reweight as kr

    counts = kr.data.class_counts(np.array([0, 0, 2, 1, 0]), 4)
    batches = [(np.ones((2, 4)), np.array([0, 1])), (np.ones((1, 4)), np.array([1]))]
    counts = kr.data.class_counts(batches, verbose=0)
    ```

    Reference:
        None; what the methods for long-tailed classes start from.

    Cost:
        One pass over the data; the inputs of a data set are loaded, too.
    """
    if num_classes is not None:
        check_integer("num_classes", num_classes, minimum=1)
    check_integer("minimum", minimum, minimum=0)
    if ignore_class is not None:
        check_integer("ignore_class", ignore_class)
    if isinstance(verbose, bool) or verbose not in (0, 1):
        raise ValueError(f"`verbose` must be 0 or 1, got {verbose!r}.")
    counter = _Counter(num_classes, ignore_class)
    if _is_array(y):
        counter.add(y)
    else:
        batches, total = _batches(y), _num_batches(y)
        bar = keras.utils.Progbar(total, unit_name="batch") if verbose else None
        number = 0
        for number, batch in enumerate(batches, start=1):
            counter.add(_labels_of(batch))
            if bar is not None:
                bar.update(number)
        if bar is not None and number != total:
            bar.update(number, finalize=True)
    return np.maximum(counter.result(), minimum)


class _Counter:
    """Adds up labels; what the first of them are (ids or one-hot) holds for all."""

    def __init__(self, num_classes, ignore_class):
        self.num_classes, self.ignore_class = num_classes, ignore_class
        self.counts = np.zeros(num_classes or 0, "int64")
        self.one_hot = None
        self.num_labels = 0

    def add(self, y):
        labels = _as_numpy(y)
        if labels.size == 0:
            return
        one_hot = self._is_one_hot(labels)
        if self.one_hot is None:
            self.one_hot = one_hot
        if self.one_hot:
            if not one_hot:
                raise ValueError(
                    f"`y` holds one-hot labels first and then labels of shape {labels.shape} that "
                    "are none."
                )
            found = np.sum(labels.reshape(-1, labels.shape[-1]), axis=0).astype("int64")
        else:
            found = np.bincount(self._ids(labels))
        self._check_classes(found)
        size = max(len(found), len(self.counts))
        self.counts = np.pad(self.counts, (0, size - len(self.counts)))
        self.counts[: len(found)] += found
        self.num_labels += int(found.sum())

    def result(self):
        if self.num_labels == 0:
            raise ValueError("`y` holds no labels to count.")
        return self.counts

    def _is_one_hot(self, labels):
        classes = labels.shape[-1] if labels.ndim > 1 else 1
        if classes < 2 or self.num_classes not in (None, classes):
            return False
        return bool(
            np.isin(labels, (0, 1)).all() and (np.sum(labels, axis=-1, dtype="int64") == 1).all()
        )

    def _ids(self, labels):
        ids = labels.reshape(-1)
        with np.errstate(invalid="ignore"):
            whole = ids.astype("int64")
        if not np.array_equal(whole, ids):
            raise ValueError(
                f"`y` of shape {labels.shape} and dtype {labels.dtype} holds neither class ids nor "
                f"one-hot labels, first {ids[whole != ids][0]!r}. Take the argmax of soft labels."
            )
        if self.ignore_class is not None:
            whole = whole[whole != self.ignore_class]
        if whole.size and whole.min() < 0:
            raise ValueError(
                f"`y` holds the class id {int(whole.min())}; pass it as `ignore_class` if it "
                "stands for no class."
            )
        return whole

    def _check_classes(self, found):
        if self.num_classes is not None and len(found) > self.num_classes:
            raise ValueError(
                f"`num_classes`={self.num_classes}, but `y` holds the class id {len(found) - 1}."
            )


def _is_array(y):
    if isinstance(y, (str, bytes, dict)):
        raise TypeError(f"`y` must be labels or batches of (x, y), got {y!r}.")
    if hasattr(y, "shape") and hasattr(y, "dtype"):
        return True
    if isinstance(y, list) and y and isinstance(y[0], tuple):
        return False
    # A list of numbers or of lists of numbers, but not one of batches.
    first = y
    while isinstance(first, (list, tuple)) and len(first):
        first = first[0]
    return isinstance(first, (int, float, bool, np.number, np.bool_)) or (
        isinstance(y, (list, tuple)) and not len(y)
    )


def _batches(y) -> Iterator[Any]:
    if isinstance(y, keras.utils.PyDataset):
        if y.num_batches is None:
            raise ValueError("`y` is a PyDataset without an end (`num_batches` is None).")
        # By index: its iterator reads on until an IndexError.
        return (y[index] for index in range(y.num_batches))
    if hasattr(y, "cardinality") and int(np.asarray(y.cardinality())) == -1:
        raise ValueError("`y` is a data set without an end; count it before `repeat()`.")
    try:
        return iter(y)
    except TypeError as error:
        raise TypeError(
            f"`y` must be labels or batches of (x, y), got {y!r} of type {type(y).__name__}."
        ) from error


def _num_batches(y):
    try:
        return y.num_batches if isinstance(y, keras.utils.PyDataset) else len(y)
    except TypeError:
        return None


def _labels_of(batch):
    if isinstance(batch, (list, tuple)) and len(batch) in (2, 3):
        labels, _ = split_targets(batch[1])
        if not isinstance(labels, (dict, list, tuple)):
            return labels
        what = f"whose targets are a {type(labels).__name__}: count each output by itself"
    else:
        what = f"of type {type(batch).__name__}"
    raise ValueError(f"`y` must give batches of (x, y) or (x, y, sample_weight), got one {what}.")


def _as_numpy(y):
    labels = ops.convert_to_numpy(y) if ops.is_tensor(y) else np.asarray(y)
    if labels.dtype.kind not in "biuf":
        raise TypeError(f"`y` must hold class ids or one-hot labels, got dtype {labels.dtype}.")
    return labels
