import numpy as np
import pytest

from keras_compress.pruning import DualImportance
from tests.compress.pruning.criteria import tanh_net
from tests.compress.pruning.criteria.tanh_net import LOSS, WEIGHTS, X, Y

GENERAL = np.random.default_rng(1).normal(size=(12, 3)).astype("float32")


def reference_dual(lam=0.5, alpha=0.2, damping=0.01, batch_size=4):
    w1, b1, w2, _ = (np.asarray(w, "float64") for w in WEIGHTS)
    inputs = [GENERAL.astype("float64"), np.tanh(GENERAL @ w1 + b1)]
    importances = []
    for x, w in zip(inputs, (w1, w2), strict=True):
        moments = x.T @ x
        moments += damping * np.trace(moments) / len(moments) * np.eye(len(moments))
        importances.append(w**2 / (2.0 * np.diag(np.linalg.inv(moments))[:, None]))

    def change(x, y):
        gradients = tanh_net.reference_gradients(x, y, WEIGHTS)
        triples = zip((w1, w2), gradients, importances, strict=True)
        moved = [w * (g + 2.0 * lam * alpha * importance * g) for w, g, importance in triples]
        return [np.abs(m + 0.5 * m**2) for m in moved]

    return tanh_net.reference_mean(change, batch_size)


def test_equals_the_formula():
    model = tanh_net.model()
    criterion = DualImportance(GENERAL, (X, Y), loss=LOSS, lam=0.5, alpha=0.2, batch_size=4)
    found = criterion.scores(model, tanh_net.kernels(model))
    tanh_net.assert_close(found, reference_dual())


def test_without_penalty_only_the_domain_counts():
    model = tanh_net.model()
    one, two = (
        DualImportance(general, (X, Y), loss=LOSS, lam=0.0).scores(model, tanh_net.kernels(model))
        for general in (GENERAL, 5.0 * GENERAL)
    )
    tanh_net.assert_close(one, two)


@pytest.mark.parametrize("name", ["lam", "alpha", "damping"])
def test_bad_arguments(name):
    with pytest.raises(ValueError, match=name):
        DualImportance(GENERAL, (X, Y), **{name: -1.0})
