import keras
import numpy as np
import pytest

from keras_compress.pruning import Allocation, GlobalAllocation, UniformAllocation


@pytest.mark.parametrize("cls", [GlobalAllocation, UniformAllocation])
def test_config_round_trip(cls):
    allocation = cls(min_keep=0.01)
    config = keras.saving.serialize_keras_object(allocation)
    assert keras.saving.deserialize_keras_object(config) == allocation
    assert hash(cls(min_keep=0.01)) == hash(allocation)
    assert cls() != allocation
    assert repr(allocation) == f"{cls.__name__}(min_keep=0.01)"


@pytest.mark.parametrize("cls", [GlobalAllocation, UniformAllocation])
@pytest.mark.parametrize("min_keep", [-0.1, 1.0, float("nan")])
def test_min_keep_out_of_range(cls, min_keep):
    with pytest.raises(ValueError, match="min_keep"):
        cls(min_keep=min_keep)


@pytest.mark.parametrize("cls", [GlobalAllocation, UniformAllocation])
def test_unreachable_target_is_refused_and_the_highest_named(cls):
    scores = [np.arange(100.0), np.arange(900.0)]
    allocation = cls(min_keep=0.2)
    assert sum(allocation(scores, 0.7)) == 700
    with pytest.raises(ValueError, match=r"300 of 1000 weights must survive.*0\.7"):
        allocation(scores, 0.71)


@pytest.mark.parametrize("sparsity", [-0.1, 1.0, float("nan")])
def test_sparsity_out_of_range(sparsity):
    with pytest.raises(ValueError, match="sparsity"):
        GlobalAllocation()([np.arange(10.0)], sparsity)


def test_base_class_needs_counts():
    with pytest.raises(NotImplementedError, match="counts"):
        Allocation()([np.arange(10.0)], 0.5)
