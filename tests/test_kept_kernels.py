"""A seed resets random operations as TensorFlow does it, and drops kernels only for them."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from tests import kept_kernels
from tests.global_state import clear_session

IN_TENSORFLOW = keras.backend.backend() == "tensorflow"


def draws():
    """Random operations by name; those of Keras on every backend."""
    found = {
        "keras": lambda: keras.random.normal((4,), seed=keras.random.SeedGenerator()),
        "initializer": lambda: keras.initializers.GlorotUniform()((2, 2)),
    }
    if IN_TENSORFLOW:
        import tensorflow as tf

        compiled = tf.function(lambda: tf.random.normal((4,)))
        numbers = tf.data.Dataset.range(8)
        found |= {
            "stateful": lambda: tf.random.normal((4,)),
            "with a seed of its own": lambda: tf.random.uniform((4,), seed=3),
            "shuffled": lambda: tf.random.shuffle(np.arange(8)),
            "compiled": compiled,
            "data set": lambda: list(numbers.shuffle(8).as_numpy_iterator()),
        }
    return found


def drawn(operation):
    """What an operation gives in two calls after a seed, after the same seed, and after another."""
    found = []
    for seed in (5, 5, 6):
        keras.utils.set_random_seed(seed)
        found.append([keras.ops.convert_to_numpy(operation()) for _ in range(2)])
    return found


@pytest.mark.parametrize("name", draws())
def test_a_seed_gives_the_same_numbers_again(name):
    operation = draws()[name]
    first, again, other = drawn(operation)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(*first)
    with kept_kernels.uninstalled():
        np.testing.assert_array_equal(drawn(operation), [first, again, other])


@pytest.fixture
def dropped(monkeypatch):
    """The times at which TensorFlow drops its kernels; elsewhere there are none."""
    times = []
    if IN_TENSORFLOW:
        from tensorflow.python import pywrap_tfe

        drop = pywrap_tfe.TFE_ContextClearCaches

        def watched(handle):
            times.append(handle)
            return drop(handle)

        monkeypatch.setattr(pywrap_tfe, "TFE_ContextClearCaches", watched)
    return times


def test_kernels_stay_until_an_operation_with_a_state_is_made(dropped):
    keras.random.normal((2,), seed=1)
    keras.utils.set_random_seed(1)
    assert not dropped and not kept_kernels.asked()
    if IN_TENSORFLOW:
        import tensorflow as tf

        tf.random.normal((2,))
        keras.utils.set_random_seed(1)
        assert len(dropped) == 1 and kept_kernels.asked()


def test_kernels_of_an_operation_with_a_state_do_not_reach_the_next_test(dropped):
    if IN_TENSORFLOW:
        import tensorflow as tf

        tf.random.normal((2,))
    clear_session()
    assert len(dropped) == IN_TENSORFLOW
    assert not kept_kernels.asked()
