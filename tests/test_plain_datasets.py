"""The batches of plain data sets are those of Keras' pipeline."""

import keras
import numpy as np
import pytest
from keras.src.trainers.data_adapters.array_data_adapter import ArrayDataAdapter

from tests import plain_datasets

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="batches of TensorFlow"
)

X = np.random.default_rng(0).normal(size=(10, 3))
Y = np.arange(10)
INPUTS = {
    "x": (X,),
    "x, y, weights": (X.astype("float32"), Y, np.linspace(0.1, 1.0, 10)),
    "nested": ({"a": X, "b": [Y, X > 0.0]}, [Y.astype("uint8"), X.astype("float16")]),
}


def _dataset(inputs, **options):
    dataset = ArrayDataAdapter(*inputs, **options).get_tf_dataset()
    return dataset.element_spec, list(dataset.as_numpy_iterator()), dataset


@pytest.mark.parametrize("batch_size", [4, 5, 32])
@pytest.mark.parametrize("name", INPUTS)
def test_batches_are_those_of_keras(name, batch_size):
    spec, batches, plain = _dataset(INPUTS[name], batch_size=batch_size)
    with plain_datasets.uninstalled():
        wanted_spec, wanted, whole = _dataset(INPUTS[name], batch_size=batch_size)
    assert type(plain) is not type(whole)
    assert spec == wanted_spec
    assert len(batches) == len(wanted)
    for found, expected in zip(batches, wanted, strict=True):
        keras.tree.map_structure(np.testing.assert_array_equal, found, expected)


def test_what_is_shuffled_or_sparse_is_left_to_keras():
    import tensorflow as tf

    sparse = tf.sparse.from_dense(X)
    for inputs, shuffle in (((X,), True), ((sparse,), False)):
        dataset = _dataset(inputs, batch_size=4, shuffle=shuffle)[-1]
        with plain_datasets.uninstalled():
            assert type(dataset) is type(_dataset(inputs, batch_size=4, shuffle=shuffle)[-1])
