"""Channels that can trade places, against permutations by hand."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from keras_reweight.core.channels.symmetries import Symmetries


def test_sites_behind_a_flattening_move_together():
    model = keras.Sequential(
        [
            keras.Input((2, 1, 1)),
            keras.layers.Conv2D(3, 1, name="first"),
            keras.layers.Flatten(),
            keras.layers.Dense(2, name="last"),
        ]
    )
    (group,) = Symmetries(model, "test").groups.values()
    order, kernel = np.array([2, 0, 1]), np.arange(12.0).reshape(6, 2)
    found = {site.index: site for site in group.sites}
    assert sorted(found) == [0, 1, 2] and group.size == 3
    expected = kernel.reshape(2, 3, 2)[:, order].reshape(6, 2)
    np.testing.assert_array_equal(found[2].permuted(kernel, order), expected)
    np.testing.assert_array_equal(found[2].index_of(order, 6), [2, 0, 1, 5, 3, 4])
    np.testing.assert_array_equal(
        found[2].rows(kernel), kernel.reshape(2, 3, 2).transpose(1, 0, 2).reshape(3, 4)
    )


def test_models_without_such_channels_are_refused():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, name="only")])
    with pytest.raises(ValueError, match="test: no channels .* can trade places"):
        Symmetries(model, "test")
