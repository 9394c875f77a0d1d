import keras
import numpy as np
import pytest

from keras_compress.pruning import Criterion


class Negative(Criterion):
    def score(self, weight):
        return -weight


def variable(value, dtype="float32"):
    return keras.Variable(np.asarray(value), dtype=dtype)


# JAX has float64 only where the whole process asks for it.
DTYPES = ["float16", "bfloat16", "float32"] + ["float64"] * (keras.backend.backend() != "jax")


@pytest.mark.parametrize("dtype", DTYPES)
def test_scores_are_float_arrays_of_the_shape_of_the_variables(dtype):
    one, two = Negative().scores(None, [variable([[1.0, -2.0]], dtype), variable([3.0], dtype)])
    assert one.dtype == (np.float64 if dtype == "float64" else np.float32)
    np.testing.assert_array_equal(one, [[-1.0, 2.0]])
    np.testing.assert_array_equal(two, [-3.0])


def test_nan_is_refused_by_name():
    with pytest.raises(ValueError, match="variable.*NaN"):
        Negative().scores(None, [variable([1.0, float("nan")])])


def test_base_class_needs_a_score():
    with pytest.raises(NotImplementedError, match="score"):
        Criterion().scores(None, [variable([1.0])])


def test_equality_and_repr():
    assert Negative() == Negative() and hash(Negative()) == hash(Negative())
    assert Negative() != Criterion()
    assert repr(Negative()) == "Negative()"
