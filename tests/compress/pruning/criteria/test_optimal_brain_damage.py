import numpy as np
import pytest

from keras_compress.pruning import OptimalBrainDamage
from tests.compress.pruning.criteria import tanh_net
from tests.compress.pruning.criteria.tanh_net import LOSS, WEIGHTS, X, Y


def reference_damage(per_sample=True, batch_size=4):
    size = 1 if per_sample else batch_size
    squares = tanh_net.reference_mean(
        lambda x, y: [g**2 for g in tanh_net.reference_gradients(x, y, WEIGHTS)], size
    )
    pairs = zip(squares, WEIGHTS[::2], strict=True)
    return [0.5 * f * np.asarray(w, "float64") ** 2 for f, w in pairs]


@pytest.mark.parametrize("per_sample", [True, False])
def test_equals_the_formula(per_sample):
    model = tanh_net.model()
    criterion = OptimalBrainDamage((X, Y), loss=LOSS, per_sample=per_sample, batch_size=4)
    found = criterion.scores(model, tanh_net.kernels(model))
    tanh_net.assert_close(found, reference_damage(per_sample))


def test_bad_arguments():
    with pytest.raises(TypeError, match="per_sample"):
        OptimalBrainDamage((X, Y), per_sample="batch")
    with pytest.raises(ValueError, match="batch_size"):
        OptimalBrainDamage((X, Y), batch_size=0)
