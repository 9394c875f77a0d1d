"""ClassBalanced, and what all weightings by class do with labels."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_reweight as kr
from tests.reweight.functional.test_class_weights import reference as class_weights
from tests.reweight.long_tail import COUNTS, LABELS, values

LOSSES = np.array([0.5, 1.0, 2.0, 0.25], "float32")
PLAIN = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
ALL = [kr.weightings.ClassBalanced, kr.weightings.InverseFrequency, kr.weightings.LogFrequency]


def reference(losses, y_true, class_counts, beta=0.9999, normalization=None):
    weights = class_weights(class_counts, beta=beta)[np.asarray(y_true).astype(int)]
    return weights / weights.mean() if normalization == "mean_one" else weights


def weights_of(weighting, y_true, losses=LOSSES, **arguments):
    return ops.convert_to_numpy(weighting(losses, y_true, **arguments))


def test_weighted_mean_of_the_official_code():
    weighting = kr.weightings.ClassBalanced(COUNTS, normalization="mean_one")
    loss = kr.losses.ReweightedLoss(PLAIN, weighting)
    np.testing.assert_allclose(values(loss), 0.8033971, rtol=1e-6)


def test_plain_mean_over_the_batch():
    loss = kr.losses.ReweightedLoss(PLAIN, kr.weightings.ClassBalanced(COUNTS))
    np.testing.assert_allclose(values(loss), 1.1449175, rtol=1e-6)


def binary_cross_entropy(y_true, y_pred):
    labels = ops.cast(y_true, y_pred.dtype)
    return ops.sum(labels * ops.softplus(-y_pred) + (1 - labels) * ops.softplus(y_pred), axis=-1)


def test_sigmoid_losses_of_the_official_code():
    weighting = kr.weightings.ClassBalanced(COUNTS)
    one_hot = np.eye(3)[LABELS]
    sigmoid = kr.losses.ReweightedLoss(binary_cross_entropy, weighting)
    np.testing.assert_allclose(values(sigmoid, labels=one_hot), 3.371661, rtol=1e-6)
    focal = keras.losses.BinaryFocalCrossentropy(gamma=1.0, from_logits=True)
    focal = kr.losses.ReweightedLoss(focal, weighting)
    # Keras takes the mean over the classes, the paper the sum.
    np.testing.assert_allclose(3 * values(focal, labels=one_hot), 2.139596, rtol=1e-5)


@pytest.mark.parametrize("method", ALL)
def test_forms_of_labels(method):
    weighting = method(COUNTS)
    base = weights_of(weighting, LABELS)
    for labels in (LABELS.astype("float32"), LABELS[:, None], np.eye(3)[LABELS]):
        np.testing.assert_allclose(weights_of(weighting, labels), base, rtol=1e-6)
    tokens = weights_of(weighting, LABELS.reshape(2, 2), LOSSES.reshape(2, 2))
    np.testing.assert_allclose(tokens, base.reshape(2, 2), rtol=1e-6)


@pytest.mark.parametrize("method", ALL)
def test_labels_outside_the_classes_have_no_weight(method):
    weights = weights_of(method(COUNTS, normalization=None), np.array([0, -1, 3, 2]))
    assert weights[0] > 0 and weights[3] > 0
    np.testing.assert_array_equal(weights[1:3], [0.0, 0.0])


@pytest.mark.parametrize("method", ALL)
def test_labels_that_do_not_fit(method):
    with pytest.raises(ValueError, match="y_true"):
        weights_of(method(COUNTS), np.zeros((4, 2)))
    with pytest.raises(ValueError, match="normalization"):
        method(COUNTS, normalization="sum_one")


def test_labels_of_tokens_are_no_one_hot_labels_of_samples():
    weighting = kr.weightings.ClassBalanced(COUNTS)
    logits = np.zeros((2, 3, 3), "float32")
    labels = np.array([[0, 1, 2], [2, 1, 0]])
    with pytest.raises(ValueError, match="granularity"):
        kr.losses.ReweightedLoss(PLAIN, weighting)(labels, logits)
    loss = kr.losses.ReweightedLoss(PLAIN, weighting, granularity="token")
    np.testing.assert_allclose(ops.convert_to_numpy(loss(labels, logits)), np.log(3), rtol=1e-5)


def test_a_sigmoid_head_with_one_unit():
    weighting = kr.weightings.InverseFrequency([9, 1])
    loss = kr.losses.ReweightedLoss(keras.losses.BinaryCrossentropy(reduction=None), weighting)
    found = loss(np.array([[0.0], [1.0]]), np.array([[0.5], [0.5]], "float32"))
    np.testing.assert_allclose(found, np.log(2) * np.array([0.2, 1.8]), rtol=1e-5)


def test_class_weight_of_keras_is_the_same():
    x = np.random.default_rng(0).normal(size=(4, 2)).astype("float32")
    results = []
    for way in ("class_weight", "weighting"):
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
        model.set_weights([np.ones((2, 3)) * [0.1, 0.2, 0.3], np.zeros(3)])
        weighting = kr.weightings.ClassBalanced(COUNTS)
        loss = PLAIN if way == "class_weight" else kr.losses.ReweightedLoss(PLAIN, weighting)
        model.compile(keras.optimizers.SGD(0.5), loss)
        weights = dict(enumerate(kr.functional.class_weights(COUNTS)))
        model.fit(x, LABELS, verbose=0, class_weight=weights if way == "class_weight" else None)
        results.append(model.get_weights()[0])
    np.testing.assert_allclose(results[0], results[1], rtol=1e-5)
