import itertools

import keras
import numpy as np
import pytest
from keras import ops

from keras_compress.pruning import (
    Magnitude,
    NMPattern,
    Pattern,
    RateDistortionAllocation,
    plan_sparsities,
    prune_weights,
)
from keras_compress.pruning.context import PruningContext
from keras_compress.pruning.lowest_masks import next_masks
from keras_compress.pruning.prunable_weights import find_prunable_weights
from tests.compress.pruning.models import X, kernels, num_zeros, sequential, weights

LEVELS = 4


def _outputs(model):
    return np.asarray(ops.convert_to_numpy(model(X, training=False)), "float64")


def _pruned(kernel, count):
    mask = np.ones(kernel.size, "bool")
    mask[np.argsort(np.abs(kernel), axis=None, kind="stable")[:count]] = False
    return kernel * mask.reshape(kernel.shape)


def reference(model, sparsity, reduce):
    """Prune one kernel at a time, then try all pairs of levels."""
    variables = [layer.kernel for layer in model.layers]
    before, dense = kernels(model), _outputs(model)
    counts = [[size * level // LEVELS for level in range(LEVELS + 1)] for size in (60, 10)]
    curves = []
    for variable, kernel, levels in zip(variables, before, counts, strict=True):
        curve = []
        for count in levels:
            variable.assign(_pruned(kernel, count))
            each = ((_outputs(model) - dense) ** 2).mean(axis=1)
            curve.append(each.max() if reduce == "max" else each.mean())
        variable.assign(kernel)
        curves.append(curve)
    fitting = [
        (curves[0][i] + curves[1][j], counts[0][i], counts[1][j])
        for i, j in itertools.product(range(LEVELS + 1), repeat=2)
        if counts[0][i] + counts[1][j] >= round(sparsity * 70)
    ]
    return min(fitting)[1:]


@pytest.mark.parametrize("reduce", ["max", "mean"])
def test_the_best_of_all_choices(reduce):
    model = sequential()
    # 15 levels of the first kernel and 10 units of slack, so that no rounding hides the choice.
    first, second = reference(model, 0.5, reduce)
    allocation = RateDistortionAllocation(
        X, levels=LEVELS, reduce=reduce, batch_size=10, min_keep=0.0
    )
    shares = list(plan_sparsities(model, 0.5, allocation=allocation).values())
    counts = [round(shares[0] * 60), round(shares[1] * 10)]
    assert sum(counts) == 35
    # What exceeds the budget is given back by all variables in proportion.
    factor = 35 / (first + second)
    np.testing.assert_allclose(counts, [first * factor, second * factor], atol=1.0)


class _Failing:
    """Batches that run out of memory when they are read."""

    def __iter__(self):
        raise MemoryError


def test_planning_leaves_the_weights_alone_and_so_does_an_error(monkeypatch):
    model = sequential()
    before = weights(model)
    allocation = RateDistortionAllocation(X, levels=2)
    plan_sparsities(model, 0.5, allocation=allocation)

    def interrupted(outputs, reference):
        assert num_zeros(model) > 0 or not calls.append(1)
        raise KeyboardInterrupt

    calls = []
    monkeypatch.setattr(
        "keras_compress.pruning.allocations.distortion_curves._distances", interrupted
    )
    with pytest.raises(KeyboardInterrupt):
        plan_sparsities(model, 0.5, allocation=allocation)
    with pytest.raises(MemoryError):
        plan_sparsities(model, 0.5, allocation=RateDistortionAllocation(_Failing()))
    for one, two in zip(before, weights(model), strict=True):
        np.testing.assert_array_equal(one, two)


def test_what_is_gone_is_not_given_back():
    model = sequential()
    allocation = RateDistortionAllocation(X, levels=5, min_keep=0.0)
    weights_of = find_prunable_weights(model)
    context = PruningContext.of(model, weights_of, Pattern())
    scores = Magnitude().scores(model, weights_of.variables)
    # The first masks are far from what the outputs ask for.
    masks = [np.arange(60).reshape(6, 10) >= 5, np.arange(10).reshape(10, 1) >= 9]
    for sparsity in (0.2, 0.4, 0.7):
        following = next_masks(scores, allocation, sparsity, masks, context)
        assert sum(int((~mask).sum()) for mask in following) == round(sparsity * 70)
        for one, two in zip(masks, following, strict=True):
            assert not (two & ~one).any()
        masks = following


def test_macs_count_how_often_a_weight_is_used():
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((6, 4)),
            keras.layers.Conv1D(8, 3, padding="same", use_bias=False),
            keras.layers.Flatten(),
            keras.layers.Dense(4, activation="softmax"),
        ]
    )
    x = np.random.default_rng(0).normal(size=(16, 6, 4)).astype("float32")
    macs, sizes = np.array([96 * 6, 192]), np.array([96, 192])
    shares = {}
    for cost in ("params", "macs"):
        allocation = RateDistortionAllocation((x,), levels=24, cost=cost, min_keep=0.0)
        plan = plan_sparsities(model, 0.5, allocation=allocation)
        shares[cost] = np.array(list(plan.values()))
    assert (shares["params"] * sizes).sum() == 144
    left = ((1 - shares["macs"]) * macs).sum() / macs.sum()
    assert 0.46 < left <= 0.5
    assert shares["macs"][0] > shares["params"][0]


def test_a_pattern_is_kept():
    model = sequential()
    allocation = RateDistortionAllocation(X, levels=4, min_keep=0.0)
    report = prune_weights(model, 0.5, allocation=allocation, pattern=NMPattern(2, 4))
    first, second = report.masks.values()
    # Six inputs are a group of four and a group of two, whose best two stay.
    assert (first[:4].sum(axis=0) == 2).all() and first[4:].all()
    assert [int(part.sum()) for part in (second[:4], second[4:8], second[8:])] == [2, 2, 2]


def test_it_holds_data_and_has_no_config():
    allocation = RateDistortionAllocation(X)
    assert not hasattr(allocation, "get_config")
    assert allocation != RateDistortionAllocation(X)
    assert repr(allocation) and hash(allocation)
    with pytest.raises(ValueError, match="context"):
        allocation([np.ones(4)], 0.5)
