import keras
import numpy as np
import pytest

from keras_compress.pruning import GlobalAllocation, Pruning, SparsityRule
from tests.compress.pruning.models import fit, kernels, num_zeros, sequential


@keras.saving.register_keras_serializable(package="tests")
class HalfOfTheRest(SparsityRule):
    def targets(self, values, masks):
        assert all(value.shape == mask.shape for value, mask in zip(values, masks, strict=True))
        pruned = 1.0 - sum(mask.sum() for mask in masks) / sum(mask.size for mask in masks)
        return float(pruned + 0.5 * (1.0 - pruned))


class TwoOfEachUnit(SparsityRule):
    def targets(self, values, masks):
        return [np.full(value.shape[-1], 2) for value in values]


def test_decides_at_every_update_and_goes_on_after_a_resume():
    allocation = GlobalAllocation(0.02)
    model = sequential()
    pruning = Pruning(HalfOfTheRest(), allocation=allocation, frequency=3)
    # Updates at steps 0, 3 and 6 (the end of the epoch); a further fit goes on at steps 9 and 12.
    fit(model, pruning)
    assert num_zeros(model) == 61
    resumed = Pruning.from_config(pruning.get_config())
    resumed.set_state(pruning.get_state())
    fit(model, resumed)
    assert num_zeros(model) == 68


def test_counts_for_each_unit_are_exact():
    model = sequential()
    fit(model, Pruning(TwoOfEachUnit()))
    assert all(((kernel == 0).sum(axis=0) == 2).all() for kernel in kernels(model))


def test_the_base_class_is_no_rule():
    with pytest.raises(NotImplementedError, match="targets"):
        SparsityRule().targets([], [])
