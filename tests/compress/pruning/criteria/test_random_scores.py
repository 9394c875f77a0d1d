import keras
import numpy as np

from keras_compress.pruning import RandomScores


def variables(*shapes):
    return [keras.Variable(np.zeros(shape, "float32")) for shape in shapes]


def reference_random(seed, shapes):
    return [np.random.default_rng([seed, i]).random(shape) for i, shape in enumerate(shapes)]


def test_the_same_at_every_call_and_other_for_other_seeds_and_places():
    shapes = [(2, 3), (2, 3)]
    found = RandomScores(3).scores(None, variables(*shapes))
    np.testing.assert_array_equal(found, reference_random(3, shapes))
    np.testing.assert_array_equal(found, RandomScores(3).scores(None, variables(*shapes)))
    assert not np.array_equal(found[0], found[1])
    assert not np.array_equal(found, RandomScores(4).scores(None, variables(*shapes)))


def test_one_number_to_compare_backends_by():
    (found,) = RandomScores(0).scores(None, variables((2, 2)))
    np.testing.assert_allclose(found[0, 0], np.random.default_rng([0, 0]).random(), rtol=0)
