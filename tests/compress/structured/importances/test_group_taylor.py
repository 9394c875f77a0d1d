"""First- and second-order importances: from gradients by hand, and of Torch-Pruning."""

import keras
import numpy as np
import pytest

from keras_compress.structured import ChannelGraph, GroupHessian, GroupTaylor
from tests.compress.structured import networks

# GroupTaylorImportance of Torch-Pruning 1.6.1, as for the magnitudes; cross-entropy of
# `networks.X`, `networks.Y`. It leaves batch normalization out, so only this group is comparable.
OFFICIAL = {
    False: [0.0, 0.4580607, 3.5356014, 0.0, 0.0, 2.0063379],
    True: [0.0, 0.0270526, 3.6518781, 0.0, 0.0, 2.3210692],
}

RNG = np.random.default_rng(3)
X, Y = RNG.normal(size=(7, 5)).astype("float32"), RNG.normal(size=(7, 3)).astype("float32")


@pytest.mark.parametrize("multivariable", [False, True])
def test_the_numbers_of_torch_pruning(multivariable):
    graph = ChannelGraph(networks.residual())
    taylor = GroupTaylor(
        (networks.X, networks.Y), loss=networks.LOGITS, multivariable=multivariable
    )
    found = taylor.scores(graph, [graph.group("hidden")])["hidden"]
    np.testing.assert_allclose(found, OFFICIAL[multivariable], rtol=2e-5, atol=1e-6)


def per_sample_gradients(weights):
    """`dL_i/dW` of both kernels of a network with one ReLU layer and the squared error."""
    first, bias, second, offset = (np.asarray(value, "float64") for value in weights)
    hidden = X @ first + bias
    active = np.maximum(hidden, 0.0)
    error = 2.0 / 3.0 * (active @ second + offset - Y)
    back = (error @ second.T) * (hidden > 0)
    return X[:, :, None] * back[:, None, :], active[:, :, None] * error[:, None, :]


@pytest.mark.parametrize("batch_size", [7, 3])
def test_taylor_from_the_formula(batch_size):
    model = networks.dense((4,))
    first, second = (each.mean(axis=0) for each in per_sample_gradients(model.get_weights()))
    kernels = [model.layers[0].get_weights()[0], model.layers[1].get_weights()[0]]
    products = kernels[0] * first, kernels[1] * second
    graph = ChannelGraph(model)
    for multivariable in (False, True):
        outer, inner = (abs, np.asarray) if multivariable else (np.asarray, abs)
        expected = np.mean(
            [outer(inner(products[0]).sum(axis=0)), outer(inner(products[1]).sum(axis=1))], axis=0
        )
        taylor = GroupTaylor(
            (X, Y), loss="mse", batch_size=batch_size, multivariable=multivariable,
            normalizer="none",
        )  # fmt: skip
        found = taylor.scores(graph, graph.groups)["hidden0"]
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_hessian_from_the_formula():
    model = networks.dense((4,))
    first, second = (np.square(g).mean(axis=0) for g in per_sample_gradients(model.get_weights()))
    kernels = [model.layers[0].get_weights()[0], model.layers[1].get_weights()[0]]
    expected = np.mean(
        [(kernels[0] ** 2 * first).sum(axis=0), (kernels[1] ** 2 * second).sum(axis=1)], axis=0
    )
    graph = ChannelGraph(model)
    hessian = GroupHessian((X, Y), loss="mse", batch_size=4, normalizer="none")
    found = hessian.scores(graph, graph.groups)["hidden0"]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_the_compiled_loss_is_the_default_and_other_data_gives_other_scores():
    model = networks.dense((4,))
    model.compile("sgd", "mse")
    graph = ChannelGraph(model)
    found = [
        GroupTaylor(data).scores(graph, graph.groups)["hidden0"]
        for data in ((X, Y), (X[:2], Y[:2]), [(X, Y)])
    ]
    np.testing.assert_allclose(found[0], found[2], rtol=1e-6)
    assert not np.allclose(found[0], found[1])


@pytest.mark.parametrize("kind", [GroupTaylor, GroupHessian])
def test_wrong_data(kind):
    graph = ChannelGraph(networks.dense((4,)))
    with pytest.raises(ValueError, match="labels"):
        kind(X, loss="mse").scores(graph, graph.groups)
    with pytest.raises(ValueError, match="loss"):
        kind((X, Y)).scores(graph, graph.groups)
    with pytest.raises(ValueError, match="batch_size"):
        kind((X, Y), loss="mse", batch_size=0).scores(graph, graph.groups)
    with pytest.raises(ValueError, match="samples"):
        kind([], loss="mse").scores(graph, graph.groups)


def test_weights_and_gradients_are_read_under_a_frozen_layer():
    model = networks.dense((4,))
    graph = ChannelGraph(model)
    taylor = GroupTaylor((X, Y), loss=keras.losses.MeanSquaredError())
    before = taylor.scores(graph, graph.groups)["hidden0"]
    model.get_layer("hidden0").trainable = False
    after = taylor.scores(graph, graph.groups)["hidden0"]
    np.testing.assert_allclose(after, before, rtol=1e-6)
