"""A straight line with flat ends."""

import numpy as np
import pytest
from keras import ops

import keras_compress as kc


def reference(step, initial_value, final_value, begin_step, end_step):
    return np.interp(step, [begin_step, end_step], [initial_value, final_value])


@pytest.mark.parametrize("step", [0, 3, 5, 9, 10, 99])
def test_host_and_graph(step):
    schedule = kc.schedules.Linear(0.1, 0.7, begin_step=3, end_step=10)
    expected = reference(step, 0.1, 0.7, 3, 10)
    np.testing.assert_allclose(schedule(step), expected, rtol=1e-12)
    in_graph = schedule(ops.convert_to_tensor(step, dtype="int32"))
    np.testing.assert_allclose(ops.convert_to_numpy(in_graph), expected, rtol=1e-6)


def test_the_ends_are_exact_and_it_is_the_polynomial_of_power_one():
    line = kc.schedules.Linear(0.1, 0.7, end_step=7)
    assert line(0) == 0.1 and line(7) == 0.7
    polynomial = kc.schedules.PolynomialDecay(0.1, 0.7, end_step=7, power=1.0)
    for step in range(9):
        assert line(step) == pytest.approx(polynomial(step), rel=1e-12)
