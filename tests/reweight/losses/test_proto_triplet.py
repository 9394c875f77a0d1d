"""ProtoTripletLoss against loops over the classes."""

import numpy as np
from keras import ops

import keras_reweight as kr
from tests.reweight.metric_learning.pairs import LABELS, embeddings


def reference(y_true, y_pred, margin=0.5, prototypes="batch"):
    y_true, y_pred = np.asarray(y_true).astype(int), np.asarray(y_pred, "float64")
    found = []
    for i, (label, z) in enumerate(zip(y_true, y_pred, strict=True)):
        means = {k: y_pred[y_true == k].mean(axis=0) for k in set(y_true) - {label}}
        own = y_true == label
        if prototypes == "leave_one_out":
            own = own & (np.arange(len(y_true)) != i)
        if not means or not own.any():
            found.append(0.0)
            continue
        distance = {k: np.sqrt(np.sum((z - c) ** 2) + 1e-6) for k, c in means.items()}
        pull = np.sqrt(np.sum((z - y_pred[own].mean(axis=0)) ** 2) + 1e-6)
        found.append(max(pull - min(distance.values()) + margin, 0.0))
    return np.array(found)


def losses(labels, z, **arguments):
    made = kr.losses.ProtoTripletLoss(reduction=None, **arguments)
    return ops.convert_to_numpy(made(labels, z.astype("float32")))


def test_the_number_of_the_reference_embeddings():
    np.testing.assert_allclose(losses(LABELS, embeddings()).mean(), 0.0871571, rtol=2e-6)


def test_a_sample_alone_in_its_class_has_no_other_mean_than_itself():
    labels = np.array([0, 0, 1, 1, 2, 3, 0, 1])
    for prototypes in ("batch", "leave_one_out"):
        found = losses(labels, embeddings(), prototypes=prototypes)
        expected = reference(labels, embeddings(), prototypes=prototypes)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert not found[4:6].any()


def test_one_class_gives_no_loss():
    np.testing.assert_array_equal(losses(np.zeros(8), embeddings()), np.zeros(8))
