import keras
import numpy as np
import pytest

from keras_compress.pruning import GraSP, prune_weights
from tests.compress.pruning.criteria import tanh_net
from tests.compress.pruning.criteria.tanh_net import LOSS, WEIGHTS, X, Y


def reference_grasp(temperature=200.0, step=1e-5):
    """The Hessian times the gradient by central differences of the gradient, in float64."""

    def gradients(kernels):
        weights = [kernels[0], WEIGHTS[1], kernels[1], WEIGHTS[3]]
        return tanh_net.reference_gradients(X, Y, weights, temperature)

    kernels = [np.asarray(w, "float64") for w in WEIGHTS[::2]]
    direction = gradients(kernels)
    step /= np.sqrt(sum((d**2).sum() for d in direction))
    up = gradients([w + step * d for w, d in zip(kernels, direction, strict=True)])
    down = gradients([w - step * d for w, d in zip(kernels, direction, strict=True)])
    scores = [w * (u - d) / (2 * step) for w, u, d in zip(kernels, up, down, strict=True)]
    return [score / abs(sum(each.sum() for each in scores)) for score in scores]


@pytest.mark.parametrize(("temperature", "batch_size"), [(1.0, 10), (200.0, 4)])
def test_equals_the_formula(temperature, batch_size):
    model = tanh_net.model()
    criterion = GraSP((X, Y), loss=LOSS, temperature=temperature, batch_size=batch_size)
    found = criterion.scores(model, tanh_net.kernels(model))
    tanh_net.assert_close(found, reference_grasp(temperature))


def test_a_last_softmax_is_undone():
    logits = tanh_net.model()
    probabilities = keras.Sequential([*logits.layers, keras.layers.Softmax()])
    probabilities.build((None, 3))
    criterion = GraSP((X, Y), loss="sparse_categorical_crossentropy")
    found = criterion.scores(probabilities, tanh_net.kernels(logits))
    tanh_net.assert_close(found, reference_grasp(200.0), 1e-4)


def test_what_goes_first_raises_the_gradient_norm():
    """The sign: removing the lowest scores leaves more gradient than removing the highest."""

    def norm_after(scores):
        pairs = zip(WEIGHTS[::2], scores, strict=True)
        kernels = [w * (s > np.sort(s.ravel())[3]) for w, s in pairs]
        weights = [kernels[0], WEIGHTS[1], kernels[1], WEIGHTS[3]]
        return sum((g**2).sum() for g in tanh_net.reference_gradients(X, Y, weights, 200.0))

    model = tanh_net.model()
    scores = GraSP((X, Y), loss=LOSS).scores(model, tanh_net.kernels(model))
    assert norm_after(scores) > norm_after([-score for score in scores])
    report = prune_weights(model, 0.5, criterion=GraSP((X, Y), loss=LOSS))
    masks = list(report.masks.values())
    kept = min(s[m].min() for s, m in zip(scores, masks, strict=True))
    assert kept >= max(s[~m].max() for s, m in zip(scores, masks, strict=True) if (~m).any())


def test_bad_temperature():
    with pytest.raises(ValueError, match="temperature"):
        GraSP((X, Y), temperature=0.0)
