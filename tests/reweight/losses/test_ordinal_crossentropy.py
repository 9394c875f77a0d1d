"""OrdinalCrossentropy against its formula, with labels in every form."""

import numpy as np
import pytest
from keras import ops

import keras_reweight as kr
from tests.reweight.functional.test_ordinal_probabilities import reference as probabilities

LOGITS = np.array([[-1.0, 0.5, 2.0], [0.3, 0.1, 1.0], [-3.0, -2.0, 4.0]], "float32")
LABELS = np.array([2, 1, 3])


def reference(y_true, y_pred, num_classes, floor=1e-8):
    p = probabilities(y_pred, floor)
    return -np.log(p[np.arange(len(p)), np.asarray(y_true).astype(int)])


def losses(y_true, **arguments):
    loss = kr.losses.OrdinalCrossentropy(4, reduction=None, **arguments)
    return ops.convert_to_numpy(loss(y_true, LOGITS))


def test_two_samples_by_hand():
    # Differences of sigmoids: .9241418 - .8807971 and 1 - .7310586.
    logits = np.array([[2.0, 2.5], [-1.0, 1.0]], "float32")
    loss = kr.losses.OrdinalCrossentropy(3, reduction=None)
    found = ops.convert_to_numpy(loss(np.array([1, 2]), logits))
    np.testing.assert_allclose(found, [3.1385723, 1.3132617], rtol=2e-6)


def test_labels_of_every_form():
    expected = reference(LABELS, LOGITS, 4)
    for labels in (LABELS, LABELS[:, None], np.eye(4)[LABELS]):
        np.testing.assert_allclose(losses(labels), expected, rtol=1e-5)


def test_a_crossed_class_has_the_loss_of_the_floor():
    assert losses(LABELS, floor=1e-4)[1] == pytest.approx(
        -np.log(1e-4 / (1e-4 + 1 + 0.5744425 - 0.5249792)), rel=1e-4
    )


def test_wrong_number_of_logits():
    with pytest.raises(ValueError, match="num_classes"):
        kr.losses.OrdinalCrossentropy(3)(LABELS, LOGITS)
