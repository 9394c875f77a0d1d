import numpy as np
import pytest

from keras_compress.pruning import (
    BlockPattern,
    ERKAllocation,
    LAMPAllocation,
    PlanAllocation,
    plan_sparsities,
    prune_weights,
)
from tests.compress.pruning.models import kernels, sequential, weights


def reference(model, sparsity):
    """A global ranking of both kernels."""
    first, second = (np.abs(kernel).ravel() for kernel in kernels(model))
    order = np.argsort(np.concatenate([first, second]), kind="stable")
    gone = order[: round(sparsity * order.size)] < first.size
    shares = [gone.sum() / first.size, (~gone).sum() / second.size]
    return dict(zip([v.path for v in model.weights if v.name == "kernel"], shares, strict=True))


def _paths(model):
    return [layer.kernel.path for layer in model.layers]


def test_the_default_is_asked_and_nothing_is_pruned():
    model = sequential()
    before = weights(model)
    plan = plan_sparsities(model, 0.5, allocation=LAMPAllocation())
    assert list(plan) == _paths(model)
    assert plan[_paths(model)[0]] * 60 + plan[_paths(model)[1]] * 10 == 35
    for one, two in zip(before, weights(model), strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("pattern", [None, BlockPattern((2, 3))])
def test_a_plan_gives_the_masks_of_its_allocation(pattern):
    model = sequential()
    before = model.get_weights()
    plan = plan_sparsities(model, 0.6, allocation=ERKAllocation(), pattern=pattern)
    prune_weights(model, 0.6, allocation=ERKAllocation(), pattern=pattern)
    expected = kernels(model)
    model.set_weights(before)
    prune_weights(model, 0.6, allocation=PlanAllocation(plan), pattern=pattern)
    for left, right in zip(expected, kernels(model), strict=True):
        np.testing.assert_array_equal(left, right)


def test_bad_arguments():
    model = sequential()
    for arguments, error in (
        ({"sparsity": 1.0}, ValueError),
        ({"layers": "nowhere"}, ValueError),
        ({"allocation": "erk"}, TypeError),
        ({"criterion": "magnitude"}, TypeError),
        ({"pattern": (2, 4)}, TypeError),
    ):
        with pytest.raises(error, match=next(iter(arguments))):
            plan_sparsities(model, **{"sparsity": 0.5, "allocation": ERKAllocation(), **arguments})
