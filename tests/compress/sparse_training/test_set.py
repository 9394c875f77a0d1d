import numpy as np

from keras_compress.sparse_training import SET
from keras_compress.sparse_training._connections import evolved

#: Four by four, twelve connections, six of each sign.
WEIGHT = np.array(
    [
        [0.9, -0.8, 0.0, 0.1],
        [-0.1, 0.0, 0.3, -0.4],
        [0.5, -0.6, 0.0, 0.7],
        [0.0, 0.2, -0.2, -1.0],
    ]
)


def reference_kept(values, zeta):
    """The cuts of the official code, for sorted values whose nearest to zero is negative."""
    values = np.sort(values)
    nearest = int(np.abs(values).argmin())
    first = nearest
    last = len(values) - int(np.abs(values)[::-1].argmin())
    negative = values[int((1 - zeta) * first)]
    positive = values[int(min(len(values) - 1, last + zeta * (len(values) - last)))]
    return values[(values > positive) | (values < negative)]


def reference_dropped(weight, mask, fraction, sign_wise=True):
    """Place by place: how many of the same sign are closer to zero than this one."""
    dropped = np.zeros(mask.shape, "bool")
    alive = weight[mask]
    for place in np.argwhere(mask):
        value = weight[tuple(place)]
        if sign_wise:
            peers = np.abs(alive[np.sign(alive) == np.sign(value)])
            limit = fraction * len(peers)
            limit = int(limit) + 1 if value > 0 else int(np.ceil(limit))
        else:
            peers, limit = np.abs(alive), int(fraction * len(alive) + 1e-9)
        dropped[tuple(place)] = (peers < abs(value)).sum() < limit
    return dropped


def test_sign_wise_cuts():
    mask = WEIGHT != 0
    dropped = SET().drop(WEIGHT, mask, 0.4)
    # Of six each: 2.4 places from zero is the cut, and the weight there goes as well.
    assert sorted(WEIGHT[dropped]) == [-0.4, -0.2, -0.1, 0.1, 0.2, 0.3]
    np.testing.assert_array_equal(dropped, reference_dropped(WEIGHT, mask, 0.4))


def test_the_cuts_of_the_official_code():
    rng = np.random.default_rng(0)
    for zeta in (0.2, 0.3, 0.5):
        # The official code takes the value nearest to zero for the border of the signs. With a
        # zero among the values (its place is dropped by both) the border is where the sign changes.
        values = np.concatenate([-rng.uniform(0.1, 1, 13), [0.0], rng.uniform(0.1, 1, 11)])
        mask = np.ones(values.shape, "bool")
        kept = values[~SET().drop(values, mask, zeta)]
        np.testing.assert_array_equal(np.sort(kept), reference_kept(values, zeta))


def test_by_magnitude():
    mask = WEIGHT != 0
    dropped = SET(sign_wise=False).drop(WEIGHT, mask, 0.25)
    assert sorted(WEIGHT[dropped]) == [-0.1, 0.1, 0.2]


def test_nothing_goes_and_all_goes():
    mask = WEIGHT != 0
    assert not SET().drop(WEIGHT, mask, 0.0).any()
    assert (SET().drop(WEIGHT, mask, 1.0) == mask).all()
    one_sign = np.abs(WEIGHT)
    assert SET().drop(one_sign, mask, 0.25).sum() == 4


def test_as_many_grow_anywhere_and_begin_anew():
    mask, counts = WEIGHT != 0, np.zeros(WEIGHT.shape)
    for seed in range(60):
        rng = np.random.default_rng(seed)
        found, new, value = evolved(SET(std=0.1), 0.4, WEIGHT, mask, None, rng)
        assert found.sum() == mask.sum() and (found[new]).all()
        kept = ~SET().drop(WEIGHT, mask, 0.4) & mask
        assert (found[kept]).all() and not new[kept].any() and new.sum() == 6
        np.testing.assert_array_equal(value[kept], WEIGHT[kept])
        assert 0 < np.abs(value[new]).max() < 0.6
        counts += new
    # Ten empty places, six of them grow: each in about 36 of 60 runs, the emptied ones as well.
    assert (counts[~kept] > 20).all()
    _, new, value = evolved(SET(std=0.0), 0.4, WEIGHT, mask, None, np.random.default_rng(0))
    assert (value[new] == 0).all()
