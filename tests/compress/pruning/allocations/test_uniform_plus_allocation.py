import keras
import numpy as np
import pytest

from keras_compress.pruning import UniformPlusAllocation, plan_sparsities
from tests.compress.pruning.allocations.test_erk_allocation import largest_remainder

L = keras.layers


def reference(scores, sparsity, last_keep):
    """The common share is known once it is known whether the last layer takes it."""
    sizes = np.array([score.size for score in scores])
    total = round(sparsity * sizes.sum())
    shares = np.full(len(sizes), total / sizes[1:].sum())
    shares[0] = 0.0
    if shares[-1] > 1.0 - last_keep:
        shares[-1] = 1.0 - np.ceil(last_keep * sizes[-1]) / sizes[-1]
        shares[1:-1] = (total - shares[-1] * sizes[-1]) / sizes[1:-1].sum()
    return largest_remainder(shares * sizes, total)


@pytest.mark.parametrize("sparsity", [0.0, 0.5, 0.9])
def test_first_convolution_and_last_layer_are_spared(sparsity):
    scores = [np.ones((3, 3, 1, 10)), np.ones((3, 3, 10, 20)), np.ones((30, 100)), np.ones((50, 4))]
    counts = UniformPlusAllocation(min_keep=0.0, last_keep=0.3)(scores, sparsity)
    assert counts == reference(scores, sparsity, 0.3)
    assert sum(counts) == round(sparsity * sum(score.size for score in scores))


def test_the_model_tells_what_is_first_and_last():
    inputs = keras.Input((6, 6, 4))
    x = L.Dense(40, name="mix")(inputs)
    x = L.Conv2D(8, 3, name="conv")(x)
    x = L.Flatten()(L.Conv2D(8, 3, name="second")(x))
    outputs = L.Dense(5, name="head")(x)
    side = keras.Model(inputs, L.Dense(3, name="side")(outputs))
    shares = plan_sparsities(side, 0.2, allocation=UniformPlusAllocation(last_keep=0.5))
    assert shares.pop("conv/kernel") == 0.0
    assert shares.pop("side/kernel") <= 0.5
    middle = list(shares.values())
    assert min(middle) > 0.4
    assert max(middle) - min(middle) < 0.02


def test_too_much_is_refused_with_the_highest():
    scores = [np.ones((3, 3, 1, 10)), np.ones(60), np.ones(50)]
    with pytest.raises(ValueError, match=r"0\.95.*last_keep.*at most 0\.5"):
        UniformPlusAllocation(min_keep=0.0)(scores, 0.95)
    with pytest.raises(ValueError, match="last_keep"):
        UniformPlusAllocation(last_keep=1.5)
