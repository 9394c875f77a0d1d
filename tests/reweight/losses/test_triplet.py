"""TripletLoss: its weighting on the similarities of a batch."""

import numpy as np
from keras import ops

import keras_reweight as kr
from tests.reweight.metric_learning import test_triplet_weighting as weighting
from tests.reweight.metric_learning.pairs import LABELS, embeddings, masks, similarities


def reference(y_true, y_pred, similarity="euclidean", **arguments):
    pairs = similarities(y_pred, similarity)
    return weighting.reference_losses(pairs, *masks(y_true), **arguments)


def test_it_is_the_pair_loss_of_its_weighting():
    z = embeddings().astype("float32")
    found = kr.losses.TripletLoss(reduction=None)(LABELS, z)
    made = kr.metric_learning.TripletWeighting()
    pair_loss = kr.losses.PairLoss(made, similarity="euclidean", reduction=None)
    found, expected = (ops.convert_to_numpy(v) for v in (found, pair_loss(LABELS, z)))
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_allclose(found, reference(LABELS, embeddings()), rtol=1e-5, atol=1e-6)
    assert found.max() > 0


def test_squares_of_a_line_have_the_triplets_one_expects():
    """Points 0, 1 of one class and 3, 3.5 of another: d_ap - d_an + margin by hand."""
    z = np.array([[0.0], [1.0], [3.0], [3.5]], "float32")
    found = kr.losses.TripletLoss(2.5, reduction=None)(np.array([0, 0, 1, 1]), z)
    np.testing.assert_allclose(ops.convert_to_numpy(found), [0.5, 1.5, 1.0, 0.5], rtol=1e-6)
