"""ContrastiveLoss: its weighting on the similarities of a batch."""

import numpy as np
from keras import ops

import keras_reweight as kr
from tests.reweight.metric_learning import test_contrastive_weighting as weighting
from tests.reweight.metric_learning.pairs import LABELS, embeddings, masks, similarities


def reference(y_true, y_pred, similarity="cosine", **arguments):
    pairs = similarities(y_pred, similarity)
    return weighting.reference_losses(pairs, *masks(y_true), **arguments)


def test_it_is_the_pair_loss_of_its_weighting():
    z = embeddings().astype("float32")
    found = kr.losses.ContrastiveLoss(reduction=None)(LABELS, z)
    made = kr.metric_learning.ContrastiveWeighting()
    pair_loss = kr.losses.PairLoss(made, similarity="cosine", reduction=None)
    found, expected = (ops.convert_to_numpy(v) for v in (found, pair_loss(LABELS, z)))
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_allclose(found, reference(LABELS, embeddings()), rtol=1e-5, atol=1e-6)
    assert found.max() > 0
