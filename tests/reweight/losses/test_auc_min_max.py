"""AUCMinMaxLoss with PESG: the official three steps, and a NumPy run of more general ones."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_reweight as kr

X = np.array([[1, 0], [0.5, 1], [0, 1], [1, 1], [-1, 0.5], [-0.5, -1], [0, -1], [-1, 0]], "float32")
Y = np.array([1, 1, 1, 0, 0, 0, 0, 0])
START = np.array([0.5, -0.25])


class Record(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.rows = []

    def on_epoch_end(self, epoch, logs=None):
        state = self.model.loss.memory.read()
        weights = ops.convert_to_numpy(self.model.layers[0].kernel).ravel()
        self.rows.append([logs["loss"], *weights, *state["centers"], state["alpha"]])


def train(optimizer, epochs=3, callbacks=(), sample_weight=None, **options):
    model = keras.Sequential(
        [keras.Input((2,)), keras.layers.Dense(1, use_bias=False, activation="sigmoid")]
    )
    model.layers[0].kernel.assign(START[:, None])
    loss = kr.losses.AUCMinMaxLoss()
    model.compile(optimizer, loss, **options)
    record = Record()
    model.fit(
        X,
        Y,
        batch_size=8,
        epochs=epochs,
        shuffle=False,
        verbose=0,
        sample_weight=sample_weight,
        callbacks=[kr.callbacks.LossState(), *callbacks, record],
    )
    return model, loss, np.array(record.rows)


def reference(epochs, rate, momentum, l2, epoch_decay, stages=(), weight=None, clip=1.0):
    """PESG written out: full batches, one step an epoch; a stage ends before a step."""
    w = np.ones(8) if weight is None else weight
    value, buffer = np.array([*START, 0.0, 0.0]), np.zeros(4)
    anchor, total, count, alpha, rows = value.copy(), np.zeros(4), 0, 0.0, []
    p = w[Y == 1].sum() / w.sum()
    for epoch in range(epochs):
        if epoch in stages:
            rate, anchor, total, count = rate / 10.0, total / count, np.zeros(4), 0
        a, b = value[2], value[3]
        h = 1.0 / (1.0 + np.exp(-X @ value[:2]))
        share = np.where(Y == 1, w / w[Y == 1].sum(), w / w[Y == 0].sum())
        sign = np.where(Y == 1, -1.0, 1.0)
        center = np.where(Y == 1, a, b)
        loss = (share * (h - center) ** 2).sum() - alpha**2
        loss += 2 * alpha * (1.0 + (share * sign * h).sum())
        slope = share * (2 * (h - center) + 2 * alpha * sign) * h * (1 - h)
        means = [(share * h)[Y == 1].sum(), (share * h)[Y == 0].sum()]
        gradient = p * (1 - p) * np.array([*(slope @ X), 2 * (a - means[0]), 2 * (b - means[1])])
        step = np.clip(gradient, -clip, clip) + epoch_decay * (value - anchor) + l2 * value
        buffer = step if epoch == 0 else (1 - momentum) * buffer + momentum * step
        value = value - rate * buffer
        total, count = total + value, count + 1
        alpha = np.clip(alpha + rate * (2 * (1 + value[3] - value[2]) - 2 * alpha), 0, 999)
        rows.append([p * (1 - p) * loss, *value, alpha])
    return np.array(rows)


OFFICIAL = [
    [0.1185039, 0.497600, -0.252836, 0.0243794, 0.0220363, 0.1995314],
    [0.1874432, 0.496852, -0.253895, 0.0476984, 0.0431531, 0.3587160],
    [0.2279766, 0.497594, -0.253340, 0.0699163, 0.0632904, 0.4856476],
]


@pytest.mark.parametrize("eager", [False, True])
def test_three_official_steps_inside_fit(eager):
    optimizer = kr.optimizers.PESG(0.1, momentum=0.9, l2=1e-5, epoch_decay=0.0)
    _, loss, rows = train(optimizer, run_eagerly=eager)
    np.testing.assert_allclose(rows, OFFICIAL, atol=1e-6)
    np.testing.assert_allclose(loss.memory.read()["used"], [*OFFICIAL[1][3:]], atol=1e-6)


def test_the_reference_gives_the_official_steps():
    np.testing.assert_allclose(reference(3, 0.1, 0.9, 1e-5, 0.0), OFFICIAL, atol=1e-6)


def test_stages_and_weights_follow_the_formula():
    weight = np.array([1.0, 2.0, 0.5, 1.0, 0.0, 3.0, 1.0, 0.5])
    optimizer = kr.optimizers.PESG(0.5, momentum=0.7, l2=0.01, epoch_decay=0.2)
    schedule = kr.callbacks.PESGSchedule([2, 4])
    _, _, rows = train(optimizer, 6, [schedule], sample_weight=weight.astype("float32"))
    expected = reference(6, 0.5, 0.7, 0.01, 0.2, stages=(2, 4), weight=weight)
    np.testing.assert_allclose(rows, expected, rtol=1e-5, atol=1e-6)


def test_the_learning_rate_of_other_callbacks_reaches_the_scalars():
    stop = keras.callbacks.LearningRateScheduler(lambda epoch, rate: 0.1 if epoch < 1 else 0.0)
    optimizer = kr.optimizers.PESG(0.1, epoch_decay=0.0)
    _, _, rows = train(optimizer, 3, [stop])
    np.testing.assert_array_equal(rows[0, 1:], rows[2, 1:])
    assert rows[0, 3] > 0


def test_without_memory_it_is_the_closed_form():
    p = np.linspace(0.1, 0.9, 8, dtype="float32")
    found = kr.losses.AUCMinMaxLoss()(Y, p)
    expected = kr.losses.AUCMarginLoss(prior="batch")(Y, p)
    np.testing.assert_array_equal(ops.convert_to_numpy(found), ops.convert_to_numpy(expected))


def test_a_batch_of_one_class_leaves_alpha_alone():
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, activation="sigmoid")])
    loss = kr.losses.AUCMinMaxLoss()
    model.compile(kr.optimizers.PESG(0.1), loss)
    model.fit(X, np.zeros(8), batch_size=8, verbose=0, callbacks=[kr.callbacks.LossState()])
    state = loss.memory.read()
    assert state["alpha"] == 0.0 and np.isfinite(state["centers"]).all()


def test_another_optimizer_or_more_columns_are_refused():
    with pytest.raises(ValueError, match="PESG"):
        train("sgd")
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, activation="sigmoid")])
    model.compile(kr.optimizers.PESG(0.1), kr.losses.AUCMinMaxLoss())
    with pytest.raises(ValueError, match="one column"):
        model.fit(X, X > 0, verbose=0, callbacks=[kr.callbacks.LossState()])


def test_mixed_precision_unwraps_the_optimizer():
    layer = keras.layers.Dense(1, activation="sigmoid", dtype="mixed_float16")
    model = keras.Sequential([keras.Input((2,)), layer])
    loss = kr.losses.AUCMinMaxLoss()
    optimizer = keras.optimizers.LossScaleOptimizer(kr.optimizers.PESG(0.1))
    model.compile(optimizer, loss)
    model.fit(X, Y, batch_size=4, verbose=0, callbacks=[kr.callbacks.LossState()])
    assert int(loss.memory.read()["step"]) == 2
    np.testing.assert_allclose(loss.memory.read()["rule"][0], 0.1, rtol=1e-6)
