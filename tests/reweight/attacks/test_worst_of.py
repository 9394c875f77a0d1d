"""Sample by sample the strongest; the sample itself where none helps."""

import numpy as np
import pytest
from keras import ops

import keras_reweight as kr
from tests.reweight.attacks import linear


class Along(kr.attacks.Attack):
    """Moves one feature."""

    def __init__(self, feature):
        self.feature = feature

    def search(self, predict, x, y, counter=0):
        move = ops.convert_to_tensor(0.3 * np.eye(5, dtype="float32")[self.feature])
        return kr.attacks.Attacked(x + move, ops.ones_like(x[:, 0]))


def test_it_keeps_for_each_sample_what_hurts_most():
    candidates = [linear.X, *(linear.X + 0.3 * np.eye(5)[feature] for feature in (0, 2))]
    both = kr.attacks.WorstOf([Along(0), Along(2)])
    found = both(linear.model(), linear.X, linear.Y)
    margins = [linear.reference_margins(linear.Y, linear.logits(one)) for one in candidates]
    chosen = np.argmax(margins, axis=0)
    assert set(chosen) == {0, 1, 2}
    expected = np.stack(candidates)[chosen, np.arange(7)]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_what_is_refused():
    with pytest.raises(TypeError, match="attacks"):
        kr.attacks.WorstOf([0.1])
    with pytest.raises(ValueError, match="empty"):
        kr.attacks.WorstOf([])
    embedded = kr.attacks.EmbeddingAttack(kr.attacks.PGD(), "embedding")
    with pytest.raises(TypeError, match="around"):
        kr.attacks.WorstOf([embedded])
