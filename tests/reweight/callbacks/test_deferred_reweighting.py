"""DeferredReweighting: plain steps first, weighted steps then, with everything Keras weights."""

import keras
import numpy as np
import pytest

import keras_reweight as kr
from tests.reweight.functional.test_class_weights import reference as class_weights

RNG = np.random.default_rng(1)
X = RNG.normal(size=(12, 4)).astype("float32")
Y = np.array([0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 2, 2])
COUNTS = [70, 30, 2]
KERNEL = RNG.normal(size=(4, 3)).astype("float32")
START = {"epochs": 4, "batch_size": 6, "shuffle": False, "verbose": 0}


def build(loss=None, **compile_arguments):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, use_bias=False)])
    model.set_weights([KERNEL])
    loss = loss or keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.5), loss, **compile_arguments)
    return model


def expected_kernel(start, epochs=4, mean_one=True, extra=None):
    """Plain NumPy gradient descent, weighted from epoch `start` on."""
    kernel = KERNEL.astype("float64")
    classes = class_weights(COUNTS, beta=0.9999)
    for epoch in range(epochs):
        for rows in (slice(0, 6), slice(6, 12)):
            logits = X[rows].astype("float64") @ kernel
            p = np.exp(logits - logits.max(1, keepdims=True))
            delta = p / p.sum(1, keepdims=True) - np.eye(3)[Y[rows]]
            weights = np.ones(6)
            if epoch >= start:
                weights = classes[Y[rows]]
                weights = weights / weights.mean() if mean_one else weights
            if extra is not None:
                weights = weights * extra[rows]
            kernel = kernel - 0.5 * X[rows].T @ (delta * weights[:, None]) / 6
    return kernel


@pytest.mark.parametrize(("start", "first"), [(0.5, 2), (3, 3), (0, 0), (1.0, 4), (9, 9)])
def test_steps_equal_hand_written_descent(start, first):
    model = build()
    callback = kr.callbacks.DeferredReweighting(COUNTS, start=start)
    history = model.fit(X, Y, callbacks=[callback], **START).history
    np.testing.assert_allclose(model.get_weights()[0], expected_kernel(first), rtol=1e-4, atol=1e-5)
    active = [float(epoch >= first) for epoch in range(4)]
    assert history["deferred_reweighting_active"] == active
    assert callback.get_state()["step"] == 8


def test_class_weight_and_sample_weight_are_multiplied():
    sample_weight = RNG.uniform(0.5, 2.0, 12).astype("float32")
    class_weight = {0: 0.5, 1: 1.0, 2: 3.0}
    weighting = kr.weightings.ClassBalanced(COUNTS)
    for arguments, extra in (
        ({"sample_weight": sample_weight}, sample_weight),
        ({"class_weight": class_weight}, np.array([class_weight[label] for label in Y])),
    ):
        model = build()
        callback = kr.callbacks.DeferredReweighting(weighting, start=2)
        model.fit(X, Y, callbacks=[callback], **START, **arguments)
        wanted = expected_kernel(2, mean_one=False, extra=extra)
        np.testing.assert_allclose(model.get_weights()[0], wanted, rtol=1e-4, atol=1e-5)


def test_other_losses():
    losses = [
        kr.losses.LDAMLoss(COUNTS, scale=3.0),
        kr.losses.BalancedSoftmaxLoss(COUNTS),
        kr.losses.SeesawLoss(num_classes=3),
    ]
    for loss in losses:
        kernels = []
        for start in (1, 9):
            model = build(loss)
            callbacks = [kr.callbacks.DeferredReweighting(COUNTS, start=start)]
            if isinstance(loss, kr.losses.SeesawLoss):
                loss.memory = None
                callbacks.append(kr.callbacks.LossState())
            model.fit(X, Y, callbacks=callbacks, **{**START, "epochs": 2})
            kernels.append(model.get_weights()[0])
        assert np.isfinite(kernels).all()
        assert not np.allclose(*kernels, rtol=1e-3)


def test_resumed_in_the_middle_and_after_the_switch():
    for stop in (1, 3):
        model = build()
        first = kr.callbacks.DeferredReweighting(COUNTS, start=2)
        model.fit(X, Y, callbacks=[first], **{**START, "epochs": stop})
        second = kr.callbacks.DeferredReweighting(COUNTS, start=2)
        second.set_state(first.get_state())
        model.fit(X, Y, callbacks=[second], initial_epoch=stop, **START)
        np.testing.assert_allclose(model.get_weights()[0], expected_kernel(2), rtol=1e-4, atol=1e-5)
        assert second.get_state()["step"] == 8


def test_one_hot_labels():
    model = build(keras.losses.CategoricalCrossentropy(from_logits=True))
    callback = kr.callbacks.DeferredReweighting(np.array(COUNTS), start=1)
    model.fit(X, np.eye(3)[Y], callbacks=[callback], **START)
    np.testing.assert_allclose(model.get_weights()[0], expected_kernel(1), rtol=1e-4, atol=1e-5)
    twin = kr.callbacks.DeferredReweighting.from_config(callback.get_config())
    assert twin.get_config() == callback.get_config()


def test_validation_is_not_weighted():
    model = build()
    callback = kr.callbacks.DeferredReweighting(COUNTS, start=0)
    history = model.fit(X, Y, validation_data=(X, Y), callbacks=[callback], **START).history
    np.testing.assert_allclose(history["val_loss"][-1], model.evaluate(X, Y, verbose=0), rtol=1e-5)


@pytest.mark.parametrize("start", [-1, 1.5, float("nan"), True, "late"])
def test_bad_start(start):
    with pytest.raises((TypeError, ValueError), match="start"):
        kr.callbacks.DeferredReweighting(COUNTS, start=start)


def test_bad_weighting():
    with pytest.raises(ValueError, match="weighting"):
        kr.callbacks.DeferredReweighting([3, 0])
    with pytest.raises(TypeError, match="weighting"):
        kr.callbacks.DeferredReweighting("class_balanced")
