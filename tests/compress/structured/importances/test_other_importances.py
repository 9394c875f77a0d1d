"""LAMP, geometric median and random scores of channels."""

import numpy as np
import pytest

from keras_compress.structured import (
    ChannelGraph,
    ChannelImportance,
    GroupGeometricMedian,
    GroupLAMP,
    GroupMagnitude,
    RandomImportance,
)
from keras_compress.structured.importances.resolve_importance import resolve_importance
from tests.compress.structured import networks

# LAMPImportance of Torch-Pruning 1.6.1 for `networks.residual`.
OFFICIAL_LAMP = {
    "hidden": [0.2765214, 0.0800749, 0.9999999, 0.1243569, 0.1887575, 0.4280944],
    "down": [0.9999996, 0.1624199, 0.4894794, 0.1191794, 0.2402522, 0.3269786],
    "two_first": [0.3281286, 0.1624051, 0.4995662, 0.2446831, 1.0000001],
    "stem": [0.9999999, 0.3226048, 0.4958151, 0.2337634],
    "one_first": [0.3011515, 0.4359765, 0.1660436, 0.9999999, 0.1994445],
}


def test_lamp_has_the_numbers_of_torch_pruning():
    graph = ChannelGraph(networks.residual())
    found = GroupLAMP().scores(graph, graph.groups)
    for name, expected in OFFICIAL_LAMP.items():
        np.testing.assert_allclose(found[name], expected, rtol=1e-5)


def test_lamp_keeps_the_order_of_magnitudes_and_the_largest_has_one():
    graph = ChannelGraph(networks.dense((8, 6)))
    lamp, magnitude = (kind().scores(graph, graph.groups) for kind in (GroupLAMP, GroupMagnitude))
    for name in lamp:
        np.testing.assert_array_equal(np.argsort(lamp[name]), np.argsort(magnitude[name]))
        assert lamp[name].max() == pytest.approx(1.0)


def test_geometric_median_is_the_sum_of_distances():
    model = networks.dense((4,))
    kernel, reading = (model.layers[number].get_weights()[0] for number in (0, 1))
    graph = ChannelGraph(model)
    distances = [
        [sum(np.sqrt(((a - b) ** 2).sum()) for b in rows) for a in rows]
        for rows in (kernel.T.astype("float64"), reading.astype("float64"))
    ]
    found = GroupGeometricMedian(normalizer="none").scores(graph, graph.groups)["hidden0"]
    np.testing.assert_allclose(found, np.mean(distances, axis=0), rtol=1e-6)


def test_random_scores_depend_on_the_seed_alone():
    graph = ChannelGraph(networks.dense((8, 6)))
    first, again, other = (RandomImportance(seed).scores(graph, graph.groups) for seed in (0, 0, 1))
    for name, scores in first.items():
        np.testing.assert_array_equal(scores, again[name])
        assert not np.allclose(scores, other[name])
        assert len(np.unique(scores)) == scores.size


@pytest.mark.parametrize("name", ["magnitude", "lamp", "random", "geometric_median"])
def test_names(name):
    assert isinstance(resolve_importance(name), ChannelImportance)
    with pytest.raises(ValueError, match="best"):
        resolve_importance("best")
    with pytest.raises(ValueError, match="data"):
        resolve_importance("taylor")
    with pytest.raises(TypeError, match="importance"):
        resolve_importance(3)


def test_the_base_says_what_is_missing():
    graph = ChannelGraph(networks.dense((4,)))
    with pytest.raises(NotImplementedError, match="scores"):
        ChannelImportance().scores(graph, graph.groups)
