import keras
import numpy as np
import pytest

from keras_reweight.signatures import weight_digest
from keras_reweight.signatures.live_weights import (
    array_digest,
    assign_all,
    bytes_of,
    read_weights,
    variable_digest,
    write_weights,
)
from tests.reweight.signatures import models


@pytest.mark.parametrize("dtype", ("float32", "float16", "bfloat16"))
def test_reads_copies(dtype):
    model = models.dense(dtype=dtype)
    first, second = (read_weights(model, [0])[0] for _ in range(2))
    assert first.flags.writeable and first.flags.c_contiguous
    assert not np.shares_memory(first, second)
    first[:] = 7.0
    assert not (read_weights(model, [0])[0] == 7.0).any() and not (second == 7.0).any()
    with np.testing.assert_raises(AssertionError):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(model.weights[0]), first)


def test_digests_of_variables_are_those_of_their_arrays():
    model = models.dense(dtype="bfloat16")
    for index, array in read_weights(model).items():
        assert variable_digest(model.weights[index]) == array_digest(array)
    for array in (np.float32(3.0), np.zeros((0, 3)), np.arange(6.0).reshape(2, 3).T):
        array = np.asarray(array)
        assert bytes_of(array).tobytes() == array.tobytes()


def test_written_arrays_stay_the_callers():
    model = models.dense()
    array = np.ones((3, 5), "float32")
    write_weights(model, {0: array})
    array[:] = 7.0
    assert (read_weights(model, [0])[0] == 1.0).all()


@pytest.mark.parametrize("dtype", ("float32", "float16", "bfloat16"))
def test_every_bit_survives(dtype):
    model = models.dense(dtype=dtype)
    arrays = read_weights(model)
    special = arrays[1].copy()
    # Keras hands bfloat16 to PyTorch by way of float32, which gives every NaN the same bits.
    special[:4] = [-0.0, np.inf, -np.inf if dtype == "bfloat16" else np.nan, 1e-7]
    write_weights(model, {**arrays, 1: special})
    found = read_weights(model)
    assert found[1].tobytes() == special.tobytes()
    assert found[0].tobytes() == arrays[0].tobytes()
    assert found[0].dtype == dtype


class Failing:
    """A variable whose next assignment fails, half done."""

    def __init__(self, variable):
        self.variable, self.failed = variable, False

    @property
    def value(self):
        return self.variable.value

    def assign(self, array):
        if not self.failed:
            self.failed = True
            self.variable.assign(np.zeros(array.shape, array.dtype))
            raise MemoryError("no room")
        self.variable.assign(array)


def test_a_failing_write_changes_nothing():
    model = models.dense()
    before = weight_digest(model)
    first, second, third = model.weights[:3]
    pairs = [
        (variable, np.ones(shape, "float32"))
        for variable, shape in ((first, (3, 5)), (Failing(second), (5,)), (third, (5, 4)))
    ]
    with pytest.raises(MemoryError):
        assign_all(pairs)
    assert weight_digest(model) == before


def test_a_wrong_shape_changes_nothing():
    model = models.dense()
    before = weight_digest(model)
    with pytest.raises(ValueError):
        write_weights(model, {0: np.ones((3, 5)), 1: np.ones(6)})
    assert weight_digest(model) == before
