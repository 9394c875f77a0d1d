"""AUCMarginLoss against its formula, all pairs, and numbers of the official code."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_reweight as kr
from keras_reweight.core.testing.backends import gradient
from keras_reweight.losses._auc_objective import objective

P = np.array([0.9, 0.8, 0.35, 0.6, 0.2, 0.1, 0.55, 0.3], "float32")
Y = np.array([1, 1, 1, 0, 0, 0, 0, 0])


def reference(y_true, y_pred, margin=1.0, prior=None, from_logits=False, sample_weight=None):
    """Variances of the classes plus the squared rest of the margin, column by column."""
    h = np.asarray(y_pred, "float64").reshape(len(y_pred), -1)
    y = np.asarray(y_true, "float64").reshape(h.shape)
    h = 1.0 / (1.0 + np.exp(-h)) if from_logits else h
    w = np.ones(len(h)) if sample_weight is None else np.asarray(sample_weight, "float64")
    values = []
    for scores, labels in zip(h.T, y.T, strict=True):
        parts, means = 0.0, []
        for chosen in (labels == 1, labels == 0):
            if w[chosen].sum() > 0:
                means.append(np.average(scores[chosen], weights=w[chosen]))
                parts += np.average((scores[chosen] - means[-1]) ** 2, weights=w[chosen])
        if len(means) == 2:
            parts += max(margin + means[1] - means[0], 0.0) ** 2
        p = np.average(labels, weights=w) if prior == "batch" else prior
        values.append(parts if prior is None else p * (1 - p) * parts)
    return np.mean(values)


def value(tensor):
    return ops.convert_to_numpy(tensor)


def test_stated_numbers():
    loss = kr.losses.AUCMarginLoss()
    np.testing.assert_allclose(value(loss(Y, P)), 0.5396667, rtol=1e-6)
    weight = np.array([1, 0, 1, 1, 1, 0, 1, 1])
    np.testing.assert_allclose(value(loss(Y, P, weight)), 0.7237501, rtol=1e-6)


def test_equals_the_squared_surrogate_of_all_pairs():
    pairs = [(1.0 - (i - j)) ** 2 for i in P[Y == 1] for j in P[Y == 0]]
    np.testing.assert_allclose(value(kr.losses.AUCMarginLoss()(Y, P)), np.mean(pairs), rtol=1e-5)


def test_official_numbers_of_the_min_max_objective():
    labels = ops.convert_to_tensor(Y[:, None].astype("float32"))

    def official(scores, a=0.7, b=0.3, alpha=0.5):
        found = objective(ops.reshape(scores, (-1, 1)), labels, ops.ones(8), (a, b, alpha), 1.0)
        return found[0] * 15 / 64

    np.testing.assert_allclose(value(official(ops.convert_to_tensor(P))), 0.120625, rtol=1e-6)
    expected = [-0.046875, -0.0625, -0.1328125, 0.075, 0.0375, 0.028125, 0.0703125, 0.046875]
    np.testing.assert_allclose(gradient(official, P), expected, rtol=1e-5)
    scores = ops.convert_to_tensor(P)
    by_name = {"a": (0.7, 0.0078125), "b": (0.3, -0.0234375), "alpha": (0.5, 0.078125)}
    for name, (at, slope) in by_name.items():
        found = gradient(
            lambda x, name=name: official(scores, **{name: x[0]}), np.array([at], "float32")
        )
        np.testing.assert_allclose(found, [slope], rtol=1e-4)


def test_prior_is_a_factor():
    plain = value(kr.losses.AUCMarginLoss()(Y, P))
    by_batch = value(kr.losses.AUCMarginLoss(prior="batch")(Y, P))
    np.testing.assert_allclose(by_batch, plain * 15 / 64, rtol=1e-6)
    by_number = value(kr.losses.AUCMarginLoss(prior=0.1)(Y, P))
    np.testing.assert_allclose(by_number, plain * 0.09, rtol=1e-6)


@pytest.mark.parametrize("label", [0, 1])
def test_a_missing_class_leaves_the_variance(label):
    loss = kr.losses.AUCMarginLoss()
    labels = np.full(8, label)
    np.testing.assert_allclose(value(loss(labels, P)), P.var(), rtol=1e-5)
    assert np.isfinite(gradient(lambda p: loss(labels, p), P)).all()
    nothing = value(loss(labels, P, np.zeros(8, "float32")))
    assert nothing == 0.0


def test_columns_are_averaged():
    y = np.stack([Y, Y[::-1]], axis=1)
    p = np.stack([P, P], axis=1)
    loss = kr.losses.AUCMarginLoss()
    expected = (value(loss(Y, P)) + value(loss(Y[::-1].copy(), P))) / 2
    np.testing.assert_allclose(value(loss(y, p)), expected, rtol=1e-6)
    np.testing.assert_allclose(value(loss(y, p)), reference(y, p), rtol=1e-5)


def test_beyond_the_margin_only_the_variances_pull():
    y, p = np.array([1, 0]), np.array([3.0, 0.5], "float32")
    loss = kr.losses.AUCMarginLoss(margin=1.0)
    assert value(loss(y, p)) == 0.0
    np.testing.assert_array_equal(gradient(lambda x: loss(y, x), p), [0.0, 0.0])


def test_trains_compiled():
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, activation="sigmoid")])
    model.compile(keras.optimizers.SGD(1.0), kr.losses.AUCMarginLoss())
    x = np.random.default_rng(0).normal(size=(20, 2)).astype("float32")
    history = model.fit(x, x[:, 0] > 0.5, batch_size=20, epochs=6, verbose=0).history["loss"]
    assert history[-1] < 0.8 * history[0]


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="y_true"):
        kr.losses.AUCMarginLoss()(np.zeros(4), np.zeros((4, 2)))
    with pytest.raises(ValueError, match="y_pred"):
        kr.losses.AUCMarginLoss()(np.zeros(4), np.zeros((4, 2, 2)))
