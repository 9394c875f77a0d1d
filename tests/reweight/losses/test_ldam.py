"""LDAMLoss against its formula, its two places of the scale, and its weighted mean."""

import numpy as np

import keras_reweight as kr
from tests.reweight.long_tail import (
    COSINES,
    COUNTS,
    LABELS,
    assert_label_forms_agree,
    cross_entropy,
    values,
)


def reference(y_true, y_pred, class_counts, max_margin=0.5, scale=30.0):
    margins = np.asarray(class_counts, "float64") ** -0.25
    margins = margins * max_margin / margins.max()
    rows, ids = np.arange(len(y_pred)), np.asarray(y_true).astype(int)
    shifted = np.array(y_pred, "float64")
    shifted[rows, ids] -= margins[ids]
    return cross_entropy(y_true, scale * shifted)


def test_numbers_of_the_official_code():
    loss = kr.losses.LDAMLoss(COUNTS, reduction=None)
    np.testing.assert_allclose(loss.margins, [0.1581139, 0.2811707, 0.5], rtol=1e-6)
    found = values(loss, COSINES)
    np.testing.assert_allclose(found[1:], [5.4419355, 19.548588, 3.0487041], rtol=1e-5)
    assert 0 <= found[0] < 1e-6
    np.testing.assert_allclose(values(kr.losses.LDAMLoss(COUNTS), COSINES), 7.0098071, rtol=1e-5)


def test_class_weights_in_the_weighted_mean_of_torch():
    weighting = kr.weightings.ClassBalanced(COUNTS, normalization="mean_one")
    loss = kr.losses.ReweightedLoss(kr.losses.LDAMLoss(COUNTS), weighting)
    np.testing.assert_allclose(values(loss, COSINES), 10.9637356, rtol=1e-5)


def test_a_head_that_scales_its_cosines_itself():
    loss = kr.losses.LDAMLoss(COUNTS, max_margin=0.5 * 30, scale=1.0, reduction=None)
    found, expected = values(loss, 30 * COSINES), reference(LABELS, COSINES, COUNTS)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_forms_of_labels():
    assert_label_forms_agree(kr.losses.LDAMLoss(COUNTS, scale=2.0, reduction=None))
