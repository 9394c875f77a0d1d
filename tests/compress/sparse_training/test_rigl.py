import math

import numpy as np
import pytest

from keras_compress.sparse_training import RigL
from keras_compress.sparse_training._connections import evolved


def reference_fraction(alpha, step, end_step):
    return alpha / 2 * (1 + math.cos(step * math.pi / end_step))


def reference_step(weight, mask, gradient, share):
    """Places that go and places that come, one after the other."""
    places = [tuple(place) for place in np.argwhere(np.ones(mask.shape))]
    count = int(share * mask.sum() + 1e-9)
    alive = [place for place in places if mask[place]]
    gone = sorted(alive, key=lambda place: abs(weight[place]))[:count]
    empty = [place for place in places if not mask[place] or place in gone]
    come = sorted(empty, key=lambda place: -abs(gradient[place]))[:count]
    return [np.array([p in chosen for p in places]).reshape(mask.shape) for chosen in (gone, come)]


def test_the_cosine_of_the_paper():
    rigl = RigL(0.3)
    for step in range(0, 100, 10):
        expected = reference_fraction(0.3, step, 75) if step < 75 else 0.0
        assert rigl.fraction_at(step, step / 100) == pytest.approx(expected, abs=1e-12)
    with pytest.raises(ValueError, match="length"):
        rigl.fraction_at(3, None)


def test_drop_and_grow_by_hand():
    weight = np.array([[0.5, -0.1, 0.0, 2.0], [0.0, 1.0, -0.2, 0.0]])
    mask = weight != 0
    gradient = np.array([[0.0, 0.0, -3.0, 9.0], [1.0, 8.0, 2.0, 0.5]])
    found, new, value = evolved(RigL(), 0.4, weight, mask, gradient, np.random.default_rng(0))
    # -0.1 and -0.2 go; -3.0 grows, and 2.0 does where -0.2 has just gone: it keeps its value.
    assert found.tolist() == [[True, False, True, True], [False, True, True, False]]
    assert new.tolist() == [[False, False, True, False], [False] * 4]
    np.testing.assert_array_equal(value, np.where(new, 0.0, weight))
