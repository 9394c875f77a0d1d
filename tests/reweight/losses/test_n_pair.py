"""NPairLoss: its weighting on the similarities of a batch."""

import numpy as np
from keras import ops

import keras_reweight as kr
from tests.reweight.metric_learning import test_n_pair_weighting as weighting
from tests.reweight.metric_learning.pairs import LABELS, embeddings, masks, similarities


def reference(y_true, y_pred, similarity="cosine", **arguments):
    pairs = similarities(y_pred, similarity)
    return weighting.reference_losses(pairs, *masks(y_true), **arguments)


def test_it_is_the_pair_loss_of_its_weighting():
    z = embeddings().astype("float32")
    found = kr.losses.NPairLoss(reduction=None)(LABELS, z)
    made = kr.metric_learning.NPairWeighting()
    pair_loss = kr.losses.PairLoss(made, similarity="cosine", reduction=None)
    found, expected = (ops.convert_to_numpy(v) for v in (found, pair_loss(LABELS, z)))
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_allclose(found, reference(LABELS, embeddings()), rtol=1e-5, atol=1e-6)
    assert found.max() > 0


def test_with_one_positive_for_each_anchor_it_is_the_info_nce_of_two_views():
    labels = np.arange(4)
    views = np.random.default_rng(0).normal(size=(4, 2, 3)).astype("float32")
    flat = views.transpose(1, 0, 2).reshape(8, 3)
    loss = kr.losses.NPairLoss(0.5, reduction=None)
    pairs = ops.convert_to_numpy(loss(np.tile(labels, 2), flat))
    loss = kr.losses.NPairLoss(0.5, contrast="all", reduction=None)
    every = ops.convert_to_numpy(loss(np.tile(labels, 2), flat))
    np.testing.assert_allclose(pairs, every, rtol=1e-5)
    # The rows of one side see those of the other side and their own.
    s = similarities(flat) / 0.5
    expected = [
        np.log(sum(np.exp(s[i, j]) for j in range(8) if j != i)) - s[i, (i + 4) % 8]
        for i in range(8)
    ]
    np.testing.assert_allclose(pairs, expected, rtol=1e-5)
