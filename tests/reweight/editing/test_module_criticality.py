"""module_criticality against ascent by hand, and that it leaves no trace."""

import keras
import numpy as np
import pytest

import keras_reweight as kr
from tests.reweight.editing.networks import LOSS, data, shared


def reference_loss_and_gradients(weights, x, y):
    """Mean cross-entropy of the network and its gradients by the two kernels."""
    w1, b1, w2, b2 = weights
    hidden = np.tanh(x @ w1 + b1)
    logits = hidden @ w2 + b2
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    rows = np.arange(len(y))
    error = p.copy()
    error[rows, y] -= 1.0
    error /= len(y)
    back = (error @ w2.T) * (1 - hidden**2)
    return -np.log(p[rows, y]).mean(), {0: x.T @ back, 2: hidden.T @ error}


def reference(data, epsilon=0.1, rounds=10, learning_rate=1.0, batch_size=512):
    x, y = (np.asarray(part) for part in data)
    batches = [
        (x[i : i + batch_size].astype("float64"), y[i : i + batch_size])
        for i in range(0, len(x), batch_size)
    ]

    def total(weights):
        losses = [reference_loss_and_gradients(weights, *batch)[0] for batch in batches]
        return np.average(losses, weights=[len(batch[1]) for batch in batches])

    start = [np.asarray(w, "float64") for w in shared().weights]
    found = []
    for index in (0, 2):
        weights, worst = list(start), -np.inf
        for _ in range(rounds):
            for batch in batches:
                gradient = reference_loss_and_gradients(weights, *batch)[1][index]
                weights[index] = weights[index] + learning_rate * gradient
            moved = weights[index] - start[index]
            limit = epsilon * np.linalg.norm(start[index])
            moved *= min(1.0, limit / np.linalg.norm(moved))
            weights[index] = start[index] + moved
            worst = max(worst, total(weights))
        found.append(max(0.0, worst - total(start)))
    return found


def test_a_linear_loss_is_climbed_straight_to_the_ball():
    head = keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros", name="head")
    model = keras.Sequential([keras.Input((2,)), head])
    head.kernel.assign([[3.0], [4.0]])
    x = np.array([[0.6, 0.8], [0.6, 0.8]], "float32")
    before = kr.weight_digest(model)

    def loss(y_true, y_pred):
        return y_true * y_pred[:, 0]

    found = kr.editing.module_criticality(
        model, (x, np.ones(2, "float32")), epsilon=0.2, rounds=2, loss=loss
    )
    assert found == pytest.approx({"head/kernel": 0.2 * 5.0}, rel=1e-5)
    assert kr.weight_digest(model) == before


def test_inside_the_ball_nothing_is_projected():
    x, y = data()
    small = kr.editing.module_criticality(
        shared().model, (x, y), epsilon=10.0, rounds=1, learning_rate=1e-3, loss=LOSS
    )
    expected = reference((x, y), epsilon=10.0, rounds=1, learning_rate=1e-3)
    # Differences of losses that are equal in the first digits.
    assert list(small.values()) == pytest.approx(expected, rel=1e-2)


def test_selection_and_refusals():
    x, y = data()
    model = shared().model
    last = list(kr.editing.module_criticality(model, (x, y), rounds=1, layers=model.layers[-1]))
    assert len(last) == 1
    with pytest.raises(ValueError, match="no labels"):
        kr.editing.module_criticality(model, (x,))
    table = keras.Sequential([keras.Input((2,)), keras.layers.Embedding(4, 2, name="table")])
    with pytest.raises(ValueError, match="layers"):
        kr.editing.module_criticality(table, (x, y))


def test_weights_are_put_back_after_an_error():
    model = shared().model
    before = kr.weight_digest(model)
    x, y = data()
    with pytest.raises(Exception, match=r"."):
        kr.editing.module_criticality(model, [(x, y), (x[:, :1], y)], rounds=1)
    assert kr.weight_digest(model) == before
