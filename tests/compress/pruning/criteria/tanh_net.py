"""A tanh network with a cross-entropy, and its gradients by hand in float64."""

import keras
import numpy as np

RNG = np.random.default_rng(0)
X = RNG.normal(size=(10, 3)).astype("float32")
Y = np.arange(10) % 2
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
#: Kernels and biases of the two layers.
WEIGHTS = [RNG.normal(size=shape).astype("float32") for shape in ((3, 4), (4,), (4, 2), (2,))]


def model():
    """Not compiled."""
    made = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(4, "tanh"), keras.layers.Dense(2)]
    )
    made.set_weights(WEIGHTS)
    return made


def kernels(made):
    return [layer.kernel for layer in made.layers]


def reference_gradients(x, y, weights, temperature=1.0):
    """Gradients of the mean cross-entropy with respect to the two kernels."""
    x, (w1, b1, w2, b2) = np.asarray(x, "float64"), [np.asarray(w, "float64") for w in weights]
    hidden = np.tanh(x @ w1 + b1)
    logits = (hidden @ w2 + b2) / temperature
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    error = (shares - np.eye(2)[y]) / (len(x) * temperature)
    return [x.T @ ((error @ w2.T) * (1.0 - hidden**2)), hidden.T @ error]


def reference_mean(function, batch_size):
    """Mean of a list of arrays over the batches of `X` and `Y`, by numbers of samples."""
    total = None
    for begin in range(0, len(X), batch_size):
        x, y = X[begin : begin + batch_size], Y[begin : begin + batch_size]
        parts = [len(x) / len(X) * part for part in function(x, y)]
        total = parts if total is None else [a + b for a, b in zip(total, parts, strict=True)]
    return total


def assert_close(found, expected, tolerance=1e-5):
    for one, two in zip(found, expected, strict=True):
        assert one.shape == two.shape
        np.testing.assert_allclose(one, two, rtol=tolerance, atol=tolerance * np.abs(two).max())
