import numpy as np

from keras_compress.pruning import SNIP
from tests.compress.pruning.criteria import tanh_net
from tests.compress.pruning.criteria.tanh_net import LOSS, WEIGHTS, X, Y


def reference_snip():
    gradients = tanh_net.reference_gradients(X, Y, WEIGHTS)
    scores = [np.abs(w * g) for w, g in zip(WEIGHTS[::2], gradients, strict=True)]
    return [score / sum(each.sum() for each in scores) for score in scores]


def test_equals_the_formula_whatever_the_batches():
    model = tanh_net.model()
    for batch_size in (3, 10):
        found = SNIP((X, Y), loss=LOSS, batch_size=batch_size).scores(
            model, tanh_net.kernels(model)
        )
        tanh_net.assert_close(found, reference_snip())


def test_without_any_gradient_scores_are_zero():
    model = tanh_net.model()
    criterion = SNIP((X, Y, np.zeros(10, "float32")), loss=LOSS)
    assert not any(score.any() for score in criterion.scores(model, tanh_net.kernels(model)))
