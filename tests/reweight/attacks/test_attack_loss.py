"""The losses that attacks raise: values that a hand can check."""

import numpy as np
import pytest
from keras import ops

import keras_reweight as kr
from keras_reweight.core.testing.backends import gradient
from tests.reweight.attacks import linear
from tests.reweight.attacks.references import reference_dlr


def values(loss, y, scores):
    return ops.convert_to_numpy(loss(np.asarray(y), np.asarray(scores, "float32")))


def test_the_logit_ratio_of_three_classes():
    loss = kr.attacks.AttackLoss("dlr")
    found = values(loss, [0, 1, 2], [[3.0, 1.0, 0.5]] * 3)
    np.testing.assert_allclose(found, [-0.8, 0.8, 1.0], rtol=1e-6)
    found = values(loss, linear.Y, linear.SCORES)
    np.testing.assert_allclose(found, reference_dlr(linear.Y, linear.SCORES), rtol=1e-5)


def test_the_logit_ratio_knows_no_scale_and_reads_probabilities():
    y, scores = [0, 1], np.array([[2.0, 1.0, 0.5, 0.1], [0.3, 0.4, 0.2, 0.1]])
    once = values(kr.attacks.AttackLoss("dlr"), y, scores)
    np.testing.assert_allclose(
        values(kr.attacks.AttackLoss("dlr"), y, 1e4 * scores + 3.0), once, 1e-3
    )
    of_probabilities = kr.attacks.AttackLoss("dlr", from_logits=False)
    np.testing.assert_allclose(values(of_probabilities, y, linear.softmax(scores)), once, rtol=1e-4)


def test_the_logit_ratio_of_equal_scores_has_a_finite_slope():
    loss = kr.attacks.AttackLoss("dlr")
    slope = gradient(
        lambda scores: ops.sum(loss(np.array([0]), scores)), np.zeros((1, 4), "float32")
    )
    assert np.isfinite(slope).all()


def test_the_shift_of_the_margins():
    y, before, after = np.array([0]), [[1.0, 0.0, 0.0]], [[3.0, 0.0, 1.0]]
    loss = kr.attacks.AttackLoss("margin_shift")
    assert loss.reads_clean and not kr.attacks.AttackLoss("margin").reads_clean
    # The margins (1, 1) become (3, 2).
    arrays = [np.asarray(scores, "float32") for scores in (after, before)]
    np.testing.assert_allclose(ops.convert_to_numpy(loss(y, *arrays)), [5.0**0.5], rtol=1e-6)
    of_probabilities = kr.attacks.AttackLoss("margin_shift", from_logits=False)
    arrays = [linear.softmax(scores).astype("float32") for scores in arrays]
    found = ops.convert_to_numpy(of_probabilities(y, *arrays))
    np.testing.assert_allclose(found, [5.0**0.5], rtol=1e-5)


def test_where_no_margin_has_moved_the_slope_is_zero():
    loss, clean = kr.attacks.AttackLoss("margin_shift"), np.ones((1, 3), "float32")
    slope = gradient(lambda scores: ops.sum(loss(np.array([0]), scores, clean)), clean)
    np.testing.assert_array_equal(slope, np.zeros((1, 3)))


def test_two_classes_have_no_third_score():
    with pytest.raises(ValueError, match="three classes"):
        kr.attacks.AttackLoss("dlr")(np.array([0]), np.zeros((1, 2), "float32"))
