"""LossSums: derivatives of a whole data set, against central differences in NumPy."""

import keras
import numpy as np
import pytest

from keras_reweight.core.loss_sums import LossSums, padded
from tests.core.gradients.references import REFERENCES

WEIGHTS = np.array([1.0, 0.5, 2.0, 0.0, 1.5], "float32")


@pytest.fixture(params=sorted(REFERENCES))
def given(request):
    return REFERENCES[request.param]()


def sums_of(given, weight=None, batch_size=3):
    data = (given.x, given.y) if weight is None else (given.x, given.y, weight)
    return LossSums(given.model, data, loss=given.loss, batch_size=batch_size), data


def test_sums_over_batches_of_unequal_size(given):
    weight = WEIGHTS[: len(given.x)]
    sums, data = sums_of(given, weight)
    jacobian = given.jacobian()
    assert (sums.size, sums.count(data)) == (jacobian.shape[1], len(weight))
    np.testing.assert_allclose(sums.gradient(data), weight @ jacobian, rtol=1e-4, atol=1e-5)
    squares = sums.squared_gradients(data)
    np.testing.assert_allclose(squares, weight @ jacobian**2, rtol=1e-4, atol=1e-5)


def test_directional_derivative_and_hessian(given):
    sums, data = sums_of(given)
    flat, _ = given.vector()
    found = keras.ops.convert_to_numpy(sums.directional(flat)(given.x, given.y))
    np.testing.assert_allclose(found, given.jacobian() @ flat, rtol=1e-4, atol=1e-4)
    found = sums.hessian_product(sums.batches(data, 3), flat)
    expected = len(given.x) * given.hessian_product(flat)
    # Finite differences where the backend has no right second derivative.
    np.testing.assert_allclose(found, expected, atol=5e-3 * np.abs(expected).max())


def test_flat_vectors_and_their_parts(given):
    sums, _ = sums_of(given)
    vector = np.arange(float(sums.size))
    parts = sums.parts(vector)
    assert [part.shape for part in parts] == [tuple(v.shape) for v in sums.variables]
    np.testing.assert_array_equal(sums.flat(parts), vector)


def test_the_last_batch_is_filled_up_with_weight_zero():
    data = (np.arange(5.0), {"targets": np.arange(5), "sample_id": np.arange(5)})
    batches = list(LossSums.batches(data, 3))
    np.testing.assert_array_equal(batches[1][0], [3, 4, 3])
    np.testing.assert_array_equal(batches[1][1], [3, 4, 3])
    np.testing.assert_array_equal(batches[1][2], [1, 1, 0])
    np.testing.assert_array_equal(padded([np.ones(2), None], 1)[0], np.ones(3))


def test_data_without_samples_are_refused():
    given = REFERENCES["dense"]()
    with pytest.raises(ValueError, match="no samples"):
        LossSums(given.model, [], loss=given.loss)


def test_value_is_what_the_gradient_belongs_to(given):
    weight = WEIGHTS[: len(given.x)]
    sums, data = sums_of(given, weight)
    expected = float(weight @ given.flat_losses(given.flat_weights()))
    np.testing.assert_allclose(sums.value(data), expected, rtol=1e-5)
