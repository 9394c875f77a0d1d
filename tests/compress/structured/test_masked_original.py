import keras
import numpy as np
import pytest
from keras import layers

from keras_compress.structured.channel_graph import ChannelGraph
from keras_compress.structured.masked_original import masked_original
from tests.compress.structured.pruned import cheap_initial_values, randomized, run, vectors

__all__ = ["cheap_initial_values"]


def build():
    return randomized(
        keras.Sequential(
            [
                keras.Input((5,)),
                layers.Dense(4, activation="sigmoid", name="hidden"),
                layers.Dense(2, name="head"),
            ]
        )
    )


def test_only_the_reading_weights_are_zero():
    model = build()
    graph = ChannelGraph(model)
    masked = masked_original(model, graph, {"hidden": np.array([True, False, True, False])})
    before, after = model.get_weights(), masked.get_weights()
    for index in (0, 1, 3):
        np.testing.assert_array_equal(before[index], after[index])
    np.testing.assert_array_equal(after[2], before[2] * np.array([[1.0], [0], [1], [0]]))
    # A hidden unit without its own weights would still be 0.5 and not 0.
    assert np.abs(run(masked, vectors()) - run(model, vectors())).max() > 0.1


def test_the_graph_of_another_model_is_refused():
    with pytest.raises(ValueError, match="graph"):
        masked_original(build(), ChannelGraph(build()), {})
