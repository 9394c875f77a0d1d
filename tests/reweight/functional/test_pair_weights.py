"""pair_weights: the gradient of the loss, by name, by object and with masks."""

import numpy as np
import pytest

import keras_reweight as kr
from keras_reweight.core.testing.backends import evaluate, gradient
from keras_reweight.functional.pair_weights import _BY_NAME
from tests.reweight.metric_learning import test_multi_similarity_miner as mining
from tests.reweight.metric_learning import test_multi_similarity_weighting as weighting
from tests.reweight.metric_learning.pairs import LABELS, embeddings, masks, similarities


def reference(similarity, labels):
    """The weights of `MultiSimilarityWeighting(beta=20)` behind a miner with epsilon 0.2."""
    pairs = mining.reference(similarity, *masks(labels), epsilon=0.2)
    return weighting.reference(similarity, *pairs, beta=20.0)


def weights(labels=LABELS, **arguments):
    similarity = similarities(embeddings()).astype("float32")
    return evaluate(lambda s: kr.functional.pair_weights(s, labels, **arguments), similarity)


@pytest.mark.parametrize("name", sorted(_BY_NAME))
def test_a_name_stands_for_the_weighting_with_its_defaults(name):
    found = weights(weighting=name)
    np.testing.assert_array_equal(found, weights(weighting=_BY_NAME[name]()))
    assert (found >= 0).all() and found.max() > 0 and not np.diag(found).any()


def test_they_are_the_gradient_of_the_loss_with_respect_to_the_similarity():
    """Through the embeddings: the chain rule over `S = Z Z^T` gives the gradient of the loss."""
    z = embeddings().astype("float32")
    miner = kr.metric_learning.MultiSimilarityMiner(0.1)
    loss = kr.losses.PairLoss(
        kr.metric_learning.MultiSimilarityWeighting(), miner, similarity="dot", reduction="sum"
    )
    slope = gradient(lambda value: loss(LABELS, value), z)
    found = weights(miner=miner)
    signed = np.where(masks(LABELS)[0], -found, found)
    np.testing.assert_allclose(slope, (signed + signed.T) @ z, rtol=1e-4, atol=1e-5)


def test_masked_samples_have_no_pairs():
    present = np.arange(8) != 3
    found = weights(mask=present)
    assert not found[3].any() and not found[:, 3].any()
    similarity = similarities(embeddings()[present]).astype("float32")
    alone = evaluate(lambda s: kr.functional.pair_weights(s, LABELS[present]), similarity)
    np.testing.assert_allclose(found[present][:, present], alone, rtol=1e-6)


def test_one_hot_and_column_labels_are_the_same():
    expected = weights()
    np.testing.assert_array_equal(weights(np.eye(3)[LABELS]), expected)
    np.testing.assert_array_equal(weights(LABELS[:, None]), expected)
