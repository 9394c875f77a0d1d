"""Statistics over batches equal those over all data, in every form of data."""

import keras
import numpy as np
import pytest

import keras_compress as kc
from keras_compress.quantization.calibration import InputStatistics, calibration_batches
from tests.compress.quantization.common import normal, numpy

X = normal(70, 3)


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 2

    def __getitem__(self, index):
        return X[35 * index : 35 * index + 35], np.zeros(35)


class Finite:
    """A re-iterable of batches, as `tf.data.Dataset` and `DataLoader` are."""

    def __init__(self, kind):
        self.kind = kind

    def __iter__(self):
        return iter([self.kind([X[:50], np.zeros(50)]), self.kind([X[50:], np.zeros(20)])])


@pytest.mark.parametrize(
    "data",
    [X, [X], Batches(), Finite(tuple), Finite(list), (X[i : i + 7] for i in range(0, 70, 7))],
    ids=["array", "list", "PyDataset", "tuples", "lists", "generator"],
)
def test_every_form_of_data_gives_all_samples_once(data):
    found = [
        numpy(batch[0] if isinstance(batch, list) else batch)
        for batch in calibration_batches(data, num_inputs=1)
    ]
    np.testing.assert_array_equal(np.concatenate(found), X)


def test_several_inputs_stay_together():
    batches = list(calibration_batches({"a": X, "b": X[:, :1]}, num_inputs=2))
    assert [len(batch["a"]) for batch in batches] == [32, 32, 6]
    assert all(np.array_equal(batch["a"][:, :1], batch["b"]) for batch in batches)
    (batch,) = calibration_batches(iter([[X, X]]), num_inputs=2)
    assert len(batch) == 2


@pytest.mark.parametrize(
    "data, error, message",
    [
        (5, TypeError, "got 5 of type int"),
        ("x", TypeError, "got 'x'"),
        (X[:0], ValueError, "got lengths \\[0\\]"),
        ([X, X[:5]], ValueError, "got lengths \\[5, 70\\]"),
    ],
)
def test_unusable_data_are_refused(data, error, message):
    with pytest.raises(error, match=message):
        list(calibration_batches(data, num_inputs=1))


def test_the_average_is_over_samples_not_batches():
    statistics = InputStatistics("dense", kc.quantizers.LSQQuantizer(8, axis=None))
    for start, stop in ((0, 64), (64, 70)):
        statistics(keras.ops.convert_to_tensor(X[start:stop]))
    np.testing.assert_allclose(statistics.mean, np.abs(X).mean(), rtol=1e-6)
    assert statistics.smallest == X.min()


def test_values_that_are_not_finite_and_no_values_are_refused():
    statistics = InputStatistics("dense", kc.quantizers.LSQQuantizer(8, axis=None))
    with pytest.raises(ValueError, match="does not reach layer 'dense'"):
        _ = statistics.mean
    with pytest.raises(ValueError, match="'dense' that are not finite"):
        statistics(keras.ops.convert_to_tensor([[np.inf]]))
