"""SeesawLoss against its formula, and its counts inside `fit`."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_reweight as kr

COUNTS = [1000, 100, 10]
LOGITS = 5 * np.array([[0.9, 0.1, -0.2], [0.3, 0.4, 0.1], [0.2, 0.1, 0.05], [-0.1, 0.2, 0.6]])
LABELS = np.array([0, 1, 2, 2])


def reference(y_true, y_pred, class_counts=None, mitigation=0.8, compensation=2.0, epsilon=1e-2):
    y_true = np.asarray(y_true).astype(int)
    num_classes = y_pred.shape[-1]
    if class_counts is None:
        class_counts = np.bincount(y_true, minlength=num_classes)
    counts = np.maximum(np.asarray(class_counts, "float64"), 1.0)
    losses = []
    for label, z in zip(y_true, y_pred, strict=True):
        s = np.exp(z - z.max())
        s = s / s.sum()
        factor = np.ones(num_classes)
        for c in range(num_classes):
            if c == label:
                continue
            if counts[c] < counts[label]:
                factor[c] *= (counts[c] / counts[label]) ** mitigation
            if s[c] > max(s[label], epsilon):
                factor[c] *= (s[c] / max(s[label], epsilon)) ** compensation
        e = np.exp(z - z.max()) * factor
        losses.append(-np.log(e[label] / e.sum()))
    return np.array(losses)


def reference_gradient(y_true, y_pred, cotangent, class_counts=None, **arguments):
    """Softmax of the adjusted scores minus one-hot: the factors are constants."""
    y_true = np.asarray(y_true).astype(int)
    found = np.zeros_like(y_pred)
    base = np.exp(y_pred - y_pred.max(-1, keepdims=True))
    base = base / base.sum(-1, keepdims=True)
    counts = np.maximum(np.asarray(class_counts, "float64"), 1.0)
    epsilon = arguments.get("epsilon", 1e-2)
    own = base[np.arange(len(base)), y_true][:, None]
    factor = np.minimum(counts[None, :] / counts[y_true][:, None], 1.0)
    factor = factor ** arguments.get("mitigation", 0.8)
    factor = factor * np.maximum(base / np.maximum(own, epsilon), 1.0) ** arguments.get(
        "compensation", 2.0
    )
    factor[np.arange(len(base)), y_true] = 1.0
    e = base * factor
    found = e / e.sum(-1, keepdims=True) - np.eye(y_pred.shape[-1])[y_true]
    return cotangent[:, None] * found


def value(tensor):
    return ops.convert_to_numpy(tensor)


def test_numbers_of_the_official_code():
    loss = kr.losses.SeesawLoss(COUNTS, reduction=None)
    found = value(loss(LABELS, LOGITS.astype("float32")))
    np.testing.assert_allclose(found, [0.003001, 0.4958507, 2.5340726, 0.1531782], rtol=1e-4)


def test_one_hot_labels_are_the_same():
    loss = kr.losses.SeesawLoss(COUNTS)
    one_hot = np.eye(3, dtype="float32")[LABELS]
    logits = LOGITS.astype("float32")
    np.testing.assert_allclose(value(loss(one_hot, logits)), value(loss(LABELS, logits)), rtol=1e-6)


def fit(callbacks, jit=True, **arguments):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    loss = kr.losses.SeesawLoss(num_classes=3)
    model.compile(keras.optimizers.SGD(0.1), loss, jit_compile="auto", run_eagerly=not jit)
    x = np.random.default_rng(0).normal(size=(10, 2)).astype("float32")
    y = np.array([0, 0, 0, 0, 0, 0, 1, 1, 1, 2])
    model.fit(x, y, batch_size=5, shuffle=False, verbose=0, callbacks=callbacks, **arguments)
    return model, loss, x, y


def test_counts_grow_with_training_and_not_with_validation():
    state = kr.callbacks.LossState()
    data = (np.ones((4, 2), "float32"), np.array([2, 2, 2, 2]))
    _, loss, _, _ = fit([state], epochs=2, validation_data=data)
    np.testing.assert_array_equal(loss.memory.read()["counts"], [12, 6, 2])
    np.testing.assert_array_equal(state.get_state()["loss0_counts"], [12, 6, 2])


def test_a_second_fit_counts_on_and_evaluation_uses_the_counts():
    model, loss, x, y = fit([kr.callbacks.LossState()])
    model.fit(x, y, batch_size=5, verbose=0, callbacks=[kr.callbacks.LossState()])
    np.testing.assert_array_equal(loss.memory.read()["counts"], [12, 6, 2])
    logits = model.predict(x, verbose=0).astype("float64")
    expected = reference(y, logits, class_counts=[12, 6, 2]).mean()
    np.testing.assert_allclose(model.evaluate(x, y, verbose=0), expected, rtol=1e-5)


def test_the_counts_of_the_first_step_are_those_of_its_batch():
    with_state, _, _, _ = fit([kr.callbacks.LossState()], steps_per_epoch=1)
    without, _, _, _ = fit([], steps_per_epoch=1)
    for first, second in zip(with_state.weights, without.weights, strict=True):
        np.testing.assert_allclose(value(first), value(second), rtol=1e-6)


def test_a_loss_inside_a_reweighted_loss_has_state_too():
    keras.utils.set_random_seed(0)
    inner = kr.losses.SeesawLoss(num_classes=3)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    model.compile("sgd", kr.losses.ReweightedLoss(inner, kr.weightings.LinUpper()))
    x, y = np.ones((6, 2), "float32"), np.array([0, 0, 0, 1, 1, 2])
    model.fit(x, y, batch_size=3, verbose=0, callbacks=[kr.callbacks.LossState()])
    np.testing.assert_array_equal(inner.memory.read()["counts"], [3, 2, 1])


def test_counts_may_be_an_array():
    loss = kr.losses.SeesawLoss(np.array(COUNTS))
    assert loss.get_config()["class_counts"] == COUNTS


def test_bad_arguments():
    with pytest.raises(ValueError, match="num_classes"):
        kr.losses.SeesawLoss()
    with pytest.raises(ValueError, match="class_counts"):
        kr.losses.SeesawLoss([3, 0, 1])
    with pytest.raises(ValueError, match="num_classes"):
        kr.losses.SeesawLoss([3, 1], num_classes=3)
    with pytest.raises(ValueError, match="y_true"):
        kr.losses.SeesawLoss([3, 1])(np.zeros((4, 3)), np.zeros((4, 2)))


def test_loss_state_needs_a_stateful_loss():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="no state"):
        model.fit(np.ones((2, 2)), np.ones((2, 3)), verbose=0, callbacks=[kr.callbacks.LossState()])
