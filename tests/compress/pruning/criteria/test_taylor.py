import numpy as np
import pytest

from keras_compress.pruning import Taylor, prune_weights
from tests.compress.pruning.criteria import tanh_net
from tests.compress.pruning.criteria.tanh_net import LOSS, WEIGHTS, X, Y


def reference_taylor(batch_size=4, squared=True):
    kernels = [np.asarray(w, "float64") for w in WEIGHTS[::2]]

    def one(x, y):
        gradients = tanh_net.reference_gradients(x, y, WEIGHTS)
        products = [w * g for w, g in zip(kernels, gradients, strict=True)]
        return [p**2 if squared else np.abs(p) for p in products]

    return tanh_net.reference_mean(one, batch_size)


@pytest.mark.parametrize("squared", [True, False])
def test_equals_the_formula(squared):
    model = tanh_net.model()
    criterion = Taylor((X, Y), loss=LOSS, squared=squared, batch_size=4)
    found = criterion.scores(model, tanh_net.kernels(model))
    tanh_net.assert_close(found, reference_taylor(4, squared))


def test_batches_of_every_kind_and_the_compiled_loss():
    model = tanh_net.model()
    model.compile(loss=LOSS)
    batches = [(X[:4], Y[:4]), (X[4:8], Y[4:8]), (X[8:], Y[8:])]
    found = Taylor(batches).scores(model, tanh_net.kernels(model))
    tanh_net.assert_close(found, reference_taylor(4))
    weighted = Taylor((X, Y, np.full(10, 2.0, "float32")), batch_size=4)
    doubled = weighted.scores(model, tanh_net.kernels(model))
    tanh_net.assert_close(doubled, [4.0 * score for score in reference_taylor(4)])


def test_the_model_stays_as_it_was():
    model = tanh_net.model()
    Taylor((X, Y), loss=LOSS).scores(model, tanh_net.kernels(model))
    for before, after in zip(WEIGHTS, model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


def test_what_cannot_be_scored_is_refused():
    model = tanh_net.model()
    for data, loss, message in (
        ((X, Y), None, "loss"),
        (iter(()), LOSS, "no batches"),
        ((X, None), LOSS, "y"),
    ):
        with pytest.raises(ValueError, match=message):
            prune_weights(model, 0.5, criterion=Taylor(data, loss=loss))
    model.set_weights([np.full_like(WEIGHTS[0], np.nan), *WEIGHTS[1:]])
    with pytest.raises(ValueError, match="NaN"):
        prune_weights(model, 0.5, criterion=Taylor((X, Y), loss=LOSS))


def test_holds_data_and_so_has_no_config():
    criterion = Taylor((X, Y))
    assert not hasattr(criterion, "get_config")
    assert criterion == criterion and criterion != Taylor((X, Y))
    assert hash(criterion) and repr(criterion) == "Taylor(...)"
