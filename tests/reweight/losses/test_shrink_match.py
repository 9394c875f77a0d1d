"""ShrinkMatchLoss: its three terms, and the certainty that `fit` remembers."""

import keras
import numpy as np
from keras import ops

import keras_reweight as kr
from keras_reweight.core.testing.backends import numerical_gradient
from tests.reweight.functional.test_shrink_loss import reference as shrink_reference


def softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def reference(y_true, y_pred, threshold=0.95, unlabeled_weight=1.0, constant=None):
    y_true, y_pred = np.asarray(y_true).astype(int), np.asarray(y_pred, "float64")
    p = softmax((y_pred if constant is None else constant)[:, 0])
    certain = p.max(axis=1) >= threshold
    unlabeled = y_true < 0
    certainty = certain[unlabeled].mean() if unlabeled.any() else 0.0
    shrunk = shrink_reference(p, y_pred[:, -1], threshold)
    found = np.zeros(len(y_true))
    for i, label in enumerate(y_true):
        if label >= 0:
            found[i] = -np.log(softmax(y_pred[i, 0])[label])
        else:
            consistent = -p[i] @ np.log(softmax(y_pred[i, 1])) if certain[i] else 0.0
            found[i] = unlabeled_weight * (consistent + certainty * shrunk[i])
    return found


def reference_gradient(y_true, y_pred, cotangent, threshold=0.95, unlabeled_weight=1.0):
    """The probabilities of the weak view are constants."""
    return numerical_gradient(
        lambda z: np.sum(cotangent * reference(y_true, z, threshold, unlabeled_weight, y_pred)),
        y_pred,
    )


def batch(size=12, views=2, classes=4):
    y = np.where(np.arange(size) % 3 == 0, np.arange(size) % classes, -1)
    z = np.random.default_rng(0).normal(scale=2.0, size=(size, views, classes))
    return {"y_true": y, "y_pred": z.astype("float32")}


def test_the_auxiliary_head_gets_the_shrunk_term():
    given = batch(views=3)
    found = kr.losses.ShrinkMatchLoss(0.8, reduction=None)(**given)
    expected = reference(**given, threshold=0.8)
    np.testing.assert_allclose(ops.convert_to_numpy(found), expected, rtol=1e-5, atol=1e-6)


def test_rows_of_zeros_are_unlabeled_one_hot_labels():
    given = batch()
    one_hot = np.where(given["y_true"][:, None] >= 0, np.eye(4)[given["y_true"]], 0.0)
    loss = kr.losses.ShrinkMatchLoss(0.8)
    found = loss(one_hot, given["y_pred"]), loss(**given)
    np.testing.assert_allclose(*(ops.convert_to_numpy(v) for v in found), rtol=1e-6)


def fit(steps, momentum=0.5):
    """A model that gives its input back, so that the certain rows of each batch are known."""
    rows = np.zeros((4 * steps, 2, 3), "float32")
    y = np.tile([0, -1, -1, -1], steps)
    for step in range(steps):
        rows[4 * step : 4 * step + 2 + step, 0, 0] = 9.0  # the labeled row and step + 1 others
    keras.utils.set_random_seed(0)
    identity = keras.layers.Dense(3, kernel_initializer="identity")
    model = keras.Sequential([keras.Input((2, 3)), identity])
    loss = kr.losses.ShrinkMatchLoss(0.9, momentum=momentum)
    model.compile(keras.optimizers.SGD(1e-6), loss)
    state = kr.callbacks.LossState()
    arguments = {"batch_size": 4, "shuffle": False, "verbose": 0, "callbacks": [state]}
    model.fit(rows, y, validation_data=(rows[:4], y[:4]), **arguments)
    return loss.memory.read()


def test_the_certainty_is_a_running_average_that_starts_with_the_first_batch():
    """Shares of 1, 2 and 3 of three: an average that started from zero would be lower."""
    found = fit(3)
    expected = 0.5 * (0.5 * 1 / 3 + 0.5 * 2 / 3) + 0.5 * 3 / 3
    np.testing.assert_allclose(found["certainty"], expected, rtol=1e-6)
    assert found["updates"] == 3


def test_the_remembered_certainty_scales_the_shrunk_term():
    given = batch()
    loss = kr.losses.ShrinkMatchLoss(0.8, reduction=None)
    plain = ops.convert_to_numpy(loss(**given))
    loss.memory = {"certainty": np.float32(0.0), "updates": np.float32(1.0)}
    without = ops.convert_to_numpy(loss(**given))
    p = softmax(given["y_pred"][:, 0].astype("float64"))
    shrunk = shrink_reference(p, given["y_pred"][:, 1], 0.8) * (given["y_true"] < 0)
    certain = (p.max(axis=1) >= 0.8)[given["y_true"] < 0].mean()
    assert shrunk.max() > 0
    np.testing.assert_allclose(plain - without, certain * shrunk, rtol=1e-4, atol=1e-6)
