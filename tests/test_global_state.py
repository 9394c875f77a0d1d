"""A test that forgets to put a global setting back is reported and does not harm the next."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from tests.global_state import clear_session, guarded, settings


def leak_floatx():
    keras.config.set_floatx("float64")


def leak_epsilon():
    keras.config.set_epsilon(1e-3)


def leak_image_data_format():
    keras.config.set_image_data_format("channels_first")


def leak_dtype_policy():
    keras.config.set_dtype_policy("mixed_bfloat16")


def leak_numpy_errors():
    np.seterr(divide="raise")


@pytest.mark.parametrize(
    ("leak", "setting"),
    [
        (leak_floatx, "keras.config.floatx"),
        (leak_epsilon, "keras.config.epsilon"),
        (leak_image_data_format, "keras.config.image_data_format"),
        (leak_dtype_policy, "keras.config.dtype_policy"),
        (leak_numpy_errors, "numpy.geterr"),
    ],
)
def test_leak_is_reported_and_put_back(leak, setting):
    before = settings()
    with pytest.raises(AssertionError, match=setting), guarded():
        leak()
    assert settings() == before
    assert keras.config.dtype_policy().name == keras.config.floatx()


def test_distribution_leak_is_reported_and_put_back():
    mesh = keras.distribution.DeviceMesh((1,), ["batch"], ["cpu:0"])
    leaked = keras.distribution.DataParallel(device_mesh=mesh)
    with pytest.raises(AssertionError, match="distribution"), guarded():
        keras.distribution.set_distribution(leaked)
    assert keras.distribution.distribution() is None


def test_floatx_still_decides_the_policy_inside_a_test():
    with pytest.raises(AssertionError, match="floatx"), guarded():
        keras.config.set_floatx("float16")
        assert keras.config.dtype_policy().name == "float16"


def test_a_clean_block_passes_and_an_error_inside_it_comes_through():
    with guarded():
        pass
    with pytest.raises(KeyError, match="mine"), guarded():
        raise KeyError("mine")


@pytest.mark.parametrize("_", range(2))
def test_every_test_starts_with_the_same_seeds_and_names(_):
    np.testing.assert_allclose(np.random.random(), np.random.RandomState(1234).random_sample())
    first = keras.ops.convert_to_numpy(keras.random.normal((3,)))
    keras.utils.set_random_seed(1234)
    np.testing.assert_array_equal(first, keras.ops.convert_to_numpy(keras.random.normal((3,))))
    assert keras.layers.Dense(1).name == "dense"


def test_layer_names_begin_anew():
    assert keras.layers.Dense(1).name == "dense"
    clear_session()
    assert keras.layers.Dense(1).name == "dense"
