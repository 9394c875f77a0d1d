import numpy as np

from keras_compress.pruning import UniformAllocation


def test_same_share_everywhere_whatever_the_scores():
    scores = [np.zeros((10, 10)), np.arange(50.0), np.ones(7)]
    assert UniformAllocation(min_keep=0.0)(scores, 0.3) == [30, 15, 2]


def test_something_survives_in_every_variable():
    assert UniformAllocation()([np.ones(2), np.ones(100)], 0.9) == [1, 90]


def test_minimum_moves_pruning_to_other_layers():
    scores = [np.ones(100), np.ones(900)]
    counts = UniformAllocation(min_keep=0.05)(scores, 0.9)
    assert counts == [50, 850]
