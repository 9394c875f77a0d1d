import keras
import numpy as np
import pytest

from keras_compress.callbacks import Pruning
from keras_compress.pruning import PlanAllocation, plan_sparsities, prune_weights
from keras_compress.schedules import Linear
from tests.compress.pruning.models import Spy, fit, kernels, num_zeros, sequential, weights

PLAN = {"dense/kernel": 0.75, "dense_1/kernel": 0.3}


def named():
    model = sequential()
    paths = [layer.kernel.path for layer in model.layers]
    return model, dict(zip(paths, PLAN.values(), strict=True))


def test_the_plan_holds_exactly_at_its_total():
    model, sparsities = named()
    plan = PlanAllocation(sparsities)
    assert plan.total(model) == 48 / 70
    prune_weights(model, plan.total(model), allocation=plan)
    assert [int((kernel == 0).sum()) for kernel in kernels(model)] == [45, 3]
    assert plan_sparsities(model, 48 / 70, allocation=plan) == sparsities


def test_less_scales_the_plan_and_more_is_refused():
    model, sparsities = named()
    plan = PlanAllocation(sparsities)
    prune_weights(model, 24 / 70, allocation=plan)
    assert [int((kernel == 0).sum()) for kernel in kernels(model)] == [23, 1]
    before = weights(model)
    with pytest.raises(ValueError, match=r"`sparsity`=0\.8 is more than the 0\.685714"):
        prune_weights(model, 0.8, allocation=plan)
    for one, two in zip(before, weights(model), strict=True):
        np.testing.assert_array_equal(one, two)


def test_unnamed_variables_stay_dense():
    model, sparsities = named()
    _, second = sparsities
    plan = PlanAllocation({second: 0.9})
    prune_weights(model, plan.total(model), allocation=plan)
    assert [int((kernel == 0).sum()) for kernel in kernels(model)] == [0, 9]


def test_unknown_paths_are_named_with_those_to_choose_from():
    model, sparsities = named()
    plan = PlanAllocation({**sparsities, "nowhere/kernel": 0.5})
    with pytest.raises(ValueError, match="'nowhere/kernel'.*dense"):
        prune_weights(model, 0.5, allocation=plan)


def test_a_schedule_on_its_way_up_ends_in_the_plan():
    model, sparsities = named()
    plan = PlanAllocation(sparsities)
    spy = Spy(num_zeros)
    schedule = Linear(0.0, plan.total(model), end_step=4)
    fit(model, Pruning(schedule, allocation=plan, frequency=2), spy)
    assert spy.batches == [0, 0, 24, 24, 48, 48]
    assert [int((kernel == 0).sum()) for kernel in kernels(model)] == [45, 3]


def test_config_equality_and_bad_arguments():
    plan = PlanAllocation(PLAN)
    config = keras.saving.serialize_keras_object(plan)
    assert keras.saving.deserialize_keras_object(config) == plan
    assert hash(plan) == hash(PlanAllocation(dict(PLAN)))
    with pytest.raises(ValueError, match="context"):
        plan([np.ones(4), np.ones(4)], 0.5)
    with pytest.raises(TypeError, match="sparsities"):
        PlanAllocation({1: 0.5})
    for bad in ({}, {"a": 1.5}):
        with pytest.raises(ValueError, match="sparsities"):
            PlanAllocation(bad)
