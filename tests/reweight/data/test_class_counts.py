"""class_counts: every source of labels, every form of them, and what is refused."""

import itertools

import keras
import numpy as np
import pytest
from keras import ops

import keras_reweight as kr

LABELS = np.array([0, 2, 2, 1, 2, 0, 2])
EXPECTED = [2, 1, 4]
X = np.zeros((7, 2), "float32")


def reference(y, num_classes=None, minimum=0):
    ids = np.asarray(y).astype(int).ravel()
    size = int(num_classes or ids.max() + 1)
    return np.array([max(int((ids == c).sum()), minimum) for c in range(size)])


@pytest.mark.parametrize(
    "labels",
    [
        LABELS,
        LABELS.tolist(),
        LABELS.astype("float32"),
        LABELS[:, None],
        np.eye(3)[LABELS],
        np.eye(3, dtype="int32")[LABELS].tolist(),
        ops.convert_to_tensor(LABELS),
    ],
    ids=["ids", "list", "float", "column", "one_hot", "one_hot_list", "tensor"],
)
def test_forms_of_labels(labels):
    found = kr.data.class_counts(labels)
    assert found.dtype == np.int64 and found.tolist() == EXPECTED


def test_labels_of_tokens_and_pixels():
    maps = np.arange(24).reshape(2, 3, 4) % 5
    assert kr.data.class_counts(maps).tolist() == reference(maps).tolist()
    one_hot = np.eye(5)[maps]
    assert kr.data.class_counts(one_hot, 5).tolist() == reference(maps).tolist()


def test_an_array_of_zeros_and_ones_may_be_ids():
    tokens = np.array([[0, 1, 1], [0, 0, 1]])
    assert kr.data.class_counts(tokens).tolist() == [3, 3]
    assert kr.data.class_counts(np.array([True, False, True])).tolist() == [1, 2]
    # With two classes three columns cannot be one-hot.
    assert kr.data.class_counts(np.eye(3, dtype=int), 2).tolist() == [6, 3]


def test_classes_that_do_not_occur():
    assert kr.data.class_counts(LABELS, 5).tolist() == [*EXPECTED, 0, 0]
    assert kr.data.class_counts(LABELS, 5, minimum=1).tolist() == [*EXPECTED, 1, 1]
    counts = kr.data.class_counts(np.eye(4)[LABELS])
    assert counts.tolist() == [*EXPECTED, 0]


def test_an_ignored_class():
    padded = np.concatenate([LABELS, [-1, -1, 255]])
    found = kr.data.class_counts(padded[:-1], ignore_class=-1)
    assert found.tolist() == EXPECTED
    found = kr.data.class_counts(np.where(padded < 0, 255, padded), 3, ignore_class=255)
    assert found.tolist() == EXPECTED


class Batches(keras.utils.PyDataset):
    def __init__(self, num_batches=3):
        super().__init__()
        self.length = num_batches

    @property
    def num_batches(self):
        return self.length

    def __getitem__(self, index):
        rows = slice(3 * index, 3 * index + 3)
        return X[rows], LABELS[rows], np.ones(len(LABELS[rows]))


def batches(labels=LABELS):
    return [(X[i : i + 3], labels[i : i + 3]) for i in range(0, 7, 3)]


def of_the_backend():
    """The data sets of the running backend, batched."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.data.Dataset.from_tensor_slices((X, LABELS)).batch(3)
    if keras.backend.backend() == "torch":
        import torch

        data = torch.utils.data.TensorDataset(torch.tensor(X), torch.tensor(LABELS))
        return torch.utils.data.DataLoader(data, batch_size=3)
    return [(ops.convert_to_tensor(x), ops.convert_to_tensor(y)) for x, y in batches()]


@pytest.mark.parametrize(
    "source",
    [
        Batches,
        batches,
        lambda: (batch for batch in batches()),
        lambda: batches(np.eye(3)[LABELS]),
        lambda: [(x, kr.data.pack_targets(y, sample_id=np.arange(len(y)))) for x, y in batches()],
        of_the_backend,
    ],
    ids=["py_dataset", "list", "generator", "one_hot", "packed", "backend"],
)
@pytest.mark.parametrize("verbose", [0, 1])
def test_sources_of_batches(source, verbose, capsys):
    assert kr.data.class_counts(source(), verbose=verbose).tolist() == EXPECTED
    assert ("3" in capsys.readouterr().out) == bool(verbose)


def test_batches_that_lack_classes():
    ordered = batches(np.sort(LABELS))
    assert kr.data.class_counts(ordered, verbose=0).tolist() == EXPECTED


class Endless:
    def cardinality(self):
        return -1

    def __iter__(self):
        return itertools.repeat((X, LABELS))


@pytest.mark.parametrize("source", [Endless(), Batches(None)])
def test_data_without_an_end(source):
    with pytest.raises(ValueError, match="without an end"):
        kr.data.class_counts(source, verbose=0)


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        (np.array([]), ValueError, "no labels"),
        ([], ValueError, "no labels"),
        (np.array([0, -1]), ValueError, "class id -1"),
        (np.array([0.5, 1.0]), ValueError, "neither class ids"),
        (np.array([np.nan, 1.0]), ValueError, "neither class ids"),
        (np.array(["a", "b"]), TypeError, "dtype"),
        ({"a": 1}, TypeError, "batches"),
        (3.5, ValueError, "neither"),
        (object(), TypeError, "batches"),
        ([(X, {"a": LABELS, "b": LABELS})], ValueError, "each output"),
        ([{"x": X, "y": LABELS}], ValueError, "dict"),
        ([(X,)], ValueError, "tuple"),
    ],
)
def test_no_labels(labels, error, message):
    with pytest.raises(error, match=message):
        kr.data.class_counts(labels, verbose=0)


def test_ids_outside_the_classes():
    with pytest.raises(ValueError, match=r"`num_classes`=2, but `y` holds the class id 2"):
        kr.data.class_counts(LABELS, 2)


def test_mixed_forms():
    mixed = [(X, np.eye(3)[LABELS]), (X, LABELS)]
    with pytest.raises(ValueError, match="one-hot labels first"):
        kr.data.class_counts(mixed, verbose=0)
