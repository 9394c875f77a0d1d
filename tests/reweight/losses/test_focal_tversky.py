"""FocalTverskyLoss: official numbers, what alpha weights, label forms."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_reweight as kr

PREDICTED = np.array([[0.9, 0.2, 0.3, 0.0], [0.1, 0.8, 0.6, 0.4]], "float32")
LABELS = np.array([[1.0, 1.0, 0.0, 0.0], [0.0, 1.0, 1.0, 0.0]], "float32")


def reference(y_true, y_pred, alpha=0.7, gamma=0.75, smooth=1.0, from_logits=False):
    y_true = np.asarray(y_true, "float64").reshape(y_pred.shape)
    p = 1.0 / (1.0 + np.exp(-y_pred)) if from_logits else np.clip(y_pred, 0.0, 1.0)
    found = []
    for y, q in zip(y_true, p, strict=True):
        tp, fn, fp = (y * q).sum(), (y * (1.0 - q)).sum(), ((1.0 - y) * q).sum()
        overlap = (tp + smooth) / (tp + alpha * fn + (1.0 - alpha) * fp + smooth)
        found.append(max(1.0 - overlap, 1e-7) ** gamma)
    return np.array(found)


@pytest.mark.parametrize(
    ("labels", "predicted", "expected"),
    [(LABELS, PREDICTED, 0.3738442), (LABELS.max(-1), PREDICTED.max(-1), 0.1392338)],
)
def test_official_numbers(labels, predicted, expected):
    """The official function pools all entries: one sample here."""
    found = kr.losses.FocalTverskyLoss()(labels[None, ..., None], predicted[None, ..., None])
    np.testing.assert_allclose(float(found), expected, atol=1e-7)


def test_alpha_is_the_weight_of_what_is_missed():
    nothing, everything = np.zeros((1, 4, 1), "float32"), np.ones((1, 4, 1), "float32")
    half = np.array([1.0, 1.0, 0.0, 0.0], "float32").reshape((1, 4, 1))
    loss = kr.losses.FocalTverskyLoss(0.9)
    assert float(loss(half, nothing)) > float(loss(half, everything))


def test_it_is_the_loss_of_keras_for_exponent_one():
    ours = kr.losses.FocalTverskyLoss(0.3, gamma=1.0, smooth=1e-7)
    keras_loss = keras.losses.Tversky(alpha=0.3, beta=0.7)
    np.testing.assert_allclose(
        float(ours(LABELS[None], PREDICTED[None])),
        float(keras_loss(LABELS[None], PREDICTED[None])),
        rtol=1e-5,
    )


def test_labels_without_channels_and_class_ids():
    loss = kr.losses.FocalTverskyLoss(reduction=None)
    flat = ops.convert_to_numpy(loss(LABELS, PREDICTED[..., None]))
    np.testing.assert_allclose(flat, reference(LABELS, PREDICTED.astype("float64")), rtol=1e-5)
    ids = np.array([[0, 2], [1, 1]])
    scores = np.random.default_rng(0).random((2, 2, 3)).astype("float32")
    found = ops.convert_to_numpy(loss(ids, scores))
    one_hot = ops.convert_to_numpy(loss(np.eye(3, dtype="float32")[ids], scores))
    np.testing.assert_allclose(found, one_hot, rtol=1e-6)


def test_a_perfect_overlap_has_a_finite_slope():
    from keras_reweight.core.testing.backends import gradient

    loss = kr.losses.FocalTverskyLoss()
    assert np.isfinite(gradient(lambda value: loss(LABELS, value), LABELS)).all()
