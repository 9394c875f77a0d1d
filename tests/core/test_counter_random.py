"""Random numbers by hashing: distribution, prefixes, and the same on every backend."""

from statistics import NormalDist

import numpy as np
from keras import ops

from keras_reweight.core.counter_random import normal_like, uniform_like
from keras_reweight.core.testing.backends import Compiled


def draw(shape=(5, 2), seed=3, counter=7, stream=0, function=uniform_like):
    reference = ops.zeros(shape)
    return ops.convert_to_numpy(function(reference, seed, counter, stream))


def hashed(x):
    x &= 0xFFFFFFFF
    x = (x ^ (x >> 16)) * 0x7FEB352D & 0xFFFFFFFF
    x = (x ^ (x >> 15)) * 0x846CA68B & 0xFFFFFFFF
    return x ^ (x >> 16)


def reference(number, seed, counter, stream):
    key = hashed(hashed(counter + stream * 0x85EBCA6B) + seed * 0x9E3779B9)
    return [((hashed(hashed(i) + key) >> 9) + 0.5) / 2**23 for i in range(number)]


def test_the_hash_is_the_stated_one_on_every_backend():
    for seed, counter, stream in ((0, 0, 0), (3, 7, 1), (-5, 2**31 - 1, 2), (10**12, 1, 0)):
        found = draw((5, 2), seed, counter, stream)
        expected = np.reshape(reference(10, seed, counter, stream), (5, 2))
        np.testing.assert_array_equal(found, expected.astype("float32"))


def test_uniform_and_normal_numbers():
    uniform = draw((2000, 2))
    assert uniform.dtype == np.float32 and uniform.min() > 0 and uniform.max() < 1
    assert abs(uniform.mean() - 0.5) < 0.02 and abs(uniform.std() - 12**-0.5) < 0.01
    assert abs(np.corrcoef(uniform.T)[0, 1]) < 0.05
    assert abs(np.corrcoef(uniform[1:, 0], uniform[:-1, 0])[0, 1]) < 0.05
    normal = draw((2000, 2), function=normal_like)
    expected = [NormalDist().inv_cdf(float(u)) for u in uniform[:50, 0]]
    np.testing.assert_allclose(normal[:50, 0], expected, rtol=1e-5, atol=1e-6)
    assert abs(normal.mean()) < 0.05 and abs(normal.std() - 1) < 0.05


def test_seeds_counters_and_streams_give_other_numbers():
    drawn = [draw((64, 1), s, c, t) for s in (0, 1) for c in (0, 1, 2) for t in (0, 1)]
    for i, one in enumerate(drawn):
        for other in drawn[:i]:
            assert not np.isin(one, other).any()


def test_the_first_rows_do_not_depend_on_how_many_follow():
    np.testing.assert_array_equal(draw((4, 3)), draw((9, 3))[:4])


def test_a_traced_counter_gives_the_same_numbers():
    compiled = Compiled(lambda counter: uniform_like(ops.zeros((4, 2)), 3, counter))
    for counter in (1, 2):
        found = ops.convert_to_numpy(compiled(np.int32(counter)))
        np.testing.assert_array_equal(found, draw((4, 2), 3, counter))
    assert compiled.traces == 1
