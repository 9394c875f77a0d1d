"""Schedules: the formula on the host and in the graph, configs, bad arguments."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_reweight.core.schedules import (
    Constant,
    PolynomialDecay,
    check_schedule_like,
    deserialize_schedule,
    serialize_schedule,
    value_at,
)


def reference(step, initial_value=0.0, final_value=0.9, begin_step=10, end_step=30, power=3.0):
    """s_f + (s_i - s_f) (1 - p)^power, clipped progress p."""
    progress = np.clip((np.asarray(step, "float64") - begin_step) / (end_step - begin_step), 0, 1)
    return final_value + (initial_value - final_value) * (1 - progress) ** power


@pytest.mark.parametrize("step", [0, 10, 15, 29, 30, 1000])
def test_polynomial_on_host_and_in_graph(step):
    schedule = PolynomialDecay(0.0, 0.9, begin_step=10, end_step=30)
    assert isinstance(schedule(step), float)
    np.testing.assert_allclose(schedule(step), reference(step), rtol=1e-12, atol=1e-15)
    in_graph = ops.convert_to_numpy(schedule(ops.convert_to_tensor(step, dtype="int32")))
    np.testing.assert_allclose(in_graph, reference(step), rtol=1e-5, atol=1e-6)


def test_configs_round_trip():
    for schedule in (Constant(0.5), PolynomialDecay(0.0, 0.9, end_step=3, power=1.0)):
        again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(schedule))
        assert again == schedule and hash(again) == hash(schedule) and repr(again) == repr(schedule)
        assert deserialize_schedule(serialize_schedule(schedule)) == schedule
    assert deserialize_schedule(serialize_schedule(0.3)) == 0.3
    assert Constant(1.0) != Constant(2.0)


def test_value_at_takes_floats_callables_and_schedules():
    assert value_at(0.5, 7) == 0.5
    assert value_at(lambda step: step * 2, 7) == 14
    assert value_at(Constant(0.25), 7) == 0.25
    assert ops.convert_to_numpy(Constant(0.25)(ops.convert_to_tensor(7))) == np.float32(0.25)


def test_bad_arguments():
    with pytest.raises(ValueError, match="`end_step`.*`begin_step`=5.*got 5"):
        PolynomialDecay(0.0, 0.9, begin_step=5, end_step=5)
    with pytest.raises(ValueError, match="`power`.*0"):
        PolynomialDecay(0.0, 0.9, end_step=5, power=0)
    with pytest.raises(TypeError, match="`value`.*'x'"):
        Constant("x")
    with pytest.raises(ValueError, match="`temperature`"):
        check_schedule_like("temperature", -1.0, minimum=0)
