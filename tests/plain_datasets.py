"""Arrays that nobody shuffles come to TensorFlow in batches without a pipeline around them.

Keras slices them in a `tf.data` pipeline of several traced functions, threads and buffers, which
takes longer than the steps of a small fit. Two operations give the same batches.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import keras
import numpy as np
from keras.src.trainers.data_adapters import array_slicing
from keras.src.trainers.data_adapters.array_data_adapter import ArrayDataAdapter

_keras_dataset = ArrayDataAdapter.get_tf_dataset


def _dataset(adapter):
    import tensorflow as tf

    arrays = array_slicing.convert_to_sliceable(adapter._inputs, target_backend="tensorflow")
    dense = all(isinstance(leaf, (np.ndarray, tf.Tensor)) for leaf in keras.tree.flatten(arrays))
    if adapter._shuffle or not dense:
        return _keras_dataset(adapter)
    dataset = tf.data.Dataset.from_tensor_slices(keras.tree.lists_to_tuples(arrays))
    # Batches that are all full have a static size, as in Keras' pipeline.
    return dataset.batch(adapter._batch_size, drop_remainder=not adapter._partial_batch_size)


def install() -> None:
    """Cut arrays into batches plainly, from now on."""
    ArrayDataAdapter.get_tf_dataset = _dataset


@contextlib.contextmanager
def uninstalled() -> Iterator[None]:
    """The pipeline that Keras makes."""
    current, ArrayDataAdapter.get_tf_dataset = ArrayDataAdapter.get_tf_dataset, _keras_dataset
    try:
        yield
    finally:
        ArrayDataAdapter.get_tf_dataset = current
