import keras
import numpy as np
import pytest

from keras_reweight.core.last_gradients import LastGradients
from tests.core.test_masks import X, Y, build, train, value


def reference_gradient(kernel, bias, x, y):
    """Of the mean squared error of a linear model."""
    error = x @ kernel + bias - y
    return 2.0 * x.T @ error / len(x)


@pytest.mark.parametrize("wrapped", [False, True], ids=["plain", "loss scale"])
def test_the_gradient_of_the_last_batch(wrapped):
    optimizer = keras.optimizers.SGD(0.1, clipnorm=1e-3)
    optimizer = keras.optimizers.LossScaleOptimizer(optimizer) if wrapped else optimizer
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile(optimizer, "mse")
    gradients = LastGradients(model, [model.layers[0].kernel], name="mine")
    train(model)
    before = [value(v) for v in model.trainable_variables]
    model.fit(X[:4], Y[:4], batch_size=4, verbose=0)
    expected = reference_gradient(*before, X[:4], Y[:4])
    np.testing.assert_allclose(gradients.read()[0], expected, rtol=1e-4, atol=1e-5)


def test_several_replicas_are_refused(monkeypatch):
    monkeypatch.setattr("keras_reweight.core.last_gradients.num_replicas", lambda model: 2)
    model = build()
    with pytest.raises(ValueError, match="2 replicas"):
        LastGradients(model, [model.layers[0].kernel], name="mine")


def test_writing_and_removing():
    model = build()
    train(model)
    names = [variable.path for variable in model.optimizer.variables]
    gradients = LastGradients(model, [layer.kernel for layer in model.layers], name="mine")
    kept = [np.full((4, 6), 2.0, "float32"), np.ones((6, 1), "float32")]
    gradients.write(kept)
    for one, two in zip(gradients.read(), kept, strict=True):
        np.testing.assert_array_equal(one, two)
    gradients.remove()
    assert [variable.path for variable in model.optimizer.variables] == names
    assert "apply" not in vars(model.optimizer)
    train(model)


def test_gradients_of_an_embedding_are_dense():
    model = keras.Sequential(
        [keras.Input((2,), dtype="int32"), keras.layers.Embedding(5, 3), keras.layers.Flatten()]
    )
    model.compile("sgd", "mse")
    gradients = LastGradients(model, [model.layers[0].embeddings], name="mine")
    rows = np.array([[0, 3], [3, 3]])
    model.fit(rows, np.ones((2, 6), "float32"), verbose=0)
    (found,) = gradients.read()
    assert (found[[0, 3]] != 0).all() and (found[[1, 2, 4]] == 0).all()
