import numpy as np

from keras_compress.pruning import Pattern


def test_by_itself_every_weight_is_a_unit():
    score = np.arange(6.0).reshape(2, 3)
    pattern = Pattern()
    assert pattern.units(score) is score and pattern.num_units((2, 3)) == 6
    assert pattern.for_variable(None, None) is pattern
    assert pattern.expand(score > 2, (2, 3)).sum() == 3
