"""Group magnitudes: recomputed from the weights, and the numbers of Torch-Pruning."""

import keras
import numpy as np
import pytest

from keras_compress.structured import ChannelGraph, GroupMagnitude
from tests.compress.structured import networks

# GroupMagnitudeImportance of Torch-Pruning 1.6.1 for the groups of `networks.residual`, its weights
# copied into the same network of torch.nn (benchmarks/torch_pruning_peer.py: `torch_net`,
# `copy_weights`, `their_importances`), for p, normalizer, reduction and bias.
OFFICIAL = {
    (2, "mean", "mean", False): {
        "hidden": [1.0842023, 0.4804494, 1.6223012, 0.6863945, 0.9122945, 1.2143581],
        "down": [1.1555177, 0.8583769, 1.1078929, 0.7150765, 1.0634875, 1.0996482],
        "two_first": [1.0379522, 0.8120257, 1.0617257, 1.0247266, 1.0635698],
        "stem": [1.0467787, 0.9887664, 1.0294013, 0.9350536],
        "one_first": [1.0052865, 1.0170703, 0.8302178, 1.3157854, 0.83164],
    },
    (1, "sum", "mean", False): {
        "hidden": [0.1871449, 0.1220355, 0.2151573, 0.1379736, 0.1523507, 0.185338],
        "down": [0.181216, 0.1552055, 0.1714881, 0.1423198, 0.1695606, 0.1802099],
        "two_first": [0.2090559, 0.1735463, 0.2020784, 0.2045495, 0.2107698],
        "stem": [0.2560893, 0.2465874, 0.252126, 0.2451972],
        "one_first": [0.202883, 0.2035001, 0.1944943, 0.2256104, 0.1735123],
    },
    (2, "gaussian", "max", False): {
        "hidden": [0.6940647, -1.231178, 1.5213526, -0.651467, -0.4890182, 0.1562463],
        "down": [0.9317226, -0.9333283, 1.0576954, -1.4324111, 0.2868061, 0.0895135],
        "two_first": [0.4406056, -1.7618815, 0.1664764, 0.6371673, 0.5176331],
        "stem": [0.7113799, 0.470844, 0.2958509, -1.4780786],
        "one_first": [-0.1725039, -0.0163222, -0.6422927, 1.6828513, -0.8517323],
    },
    (2, "min-max", "sum", True): {
        "hidden": [0.3453002, 0.0, 1.0, 0.4085171, 0.2559928, 0.4643996],
        "down": [1.0, 0.2800143, 0.8196934, 0.0, 0.8016108, 0.9688882],
        "two_first": [1.0, 0.0, 0.9771941, 0.8674774, 0.9966864],
        "stem": [1.0, 0.3542185, 0.6491184, 0.0],
        "one_first": [0.3927596, 0.3804248, 0.0183242, 1.0, 0.0],
    },
    (1, "none", "first", False): {
        "hidden": [7.7463641, 4.0915174, 5.5672755, 3.258811, 5.067318, 6.4330106],
        "two_first": [41.1318207, 36.7905617, 44.6265869, 39.264698, 42.228672],
        "one_first": [26.5737762, 28.2430973, 29.5978279, 28.6520271, 23.0755463],
    },
}


@pytest.fixture(scope="module")
def graph():
    return ChannelGraph(networks.residual())


def scores(graph, importance):
    return importance.scores(graph, graph.groups)


@pytest.mark.parametrize("options", OFFICIAL)
def test_the_numbers_of_torch_pruning(graph, options):
    p, normalizer, reduction, bias = options
    importance = GroupMagnitude(p, normalizer=normalizer, reduction=reduction, bias=bias)
    found = scores(graph, importance)
    for name, expected in OFFICIAL[options].items():
        np.testing.assert_allclose(found[name], expected, rtol=1e-5, atol=2e-6)


def power(weights, axis, p):
    """Sum of |w|^p over all axes but one."""
    weights = np.abs(np.asarray(weights, "float64")) ** p
    return weights.sum(axis=tuple(set(range(weights.ndim)) - {axis}))


def test_a_residual_group_from_the_weights(graph):
    layers = {layer.name: layer.get_weights() for layer in graph.model.layers}
    members = [
        power(layers["stem"][0], 3, 2),
        power(layers["one_second"][0], 3, 2),
        power(layers["stem_norm"][0], 0, 2),
        power(layers["one_second_norm"][0], 0, 2),
        power(layers["one_first"][0], 2, 2),
        power(layers["down"][0], 2, 2),
    ]
    expected = np.mean(members, axis=0)
    found = scores(graph, GroupMagnitude(normalizer="none"))
    np.testing.assert_allclose(found["stem"], expected, rtol=1e-6)


def test_gates_and_recurrent_weights_count():
    model = networks.recurrent()
    (embeddings,), lstm, gru = (layer.get_weights() for layer in model.layers[:3])
    graph = ChannelGraph(model)
    found = scores(graph, GroupMagnitude(normalizer="none"))
    gates = [power(each, 1, 2).reshape(4, 3).sum(axis=0) for each in lstm[:2]]
    expected = np.mean([*gates, power(lstm[1], 0, 2), power(gru[0], 0, 2)], axis=0)
    np.testing.assert_allclose(found["lstm"], expected, rtol=1e-6)
    expected = np.mean([power(embeddings, 1, 2), power(lstm[0], 0, 2)], axis=0)
    np.testing.assert_allclose(found["embedding"], expected, rtol=1e-6)


def test_places_behind_flatten_and_depthwise_kernels_count():
    model = networks.flattened()
    first, depthwise, head = (model.get_layer(name).get_weights()[0] for name in
                              ("first", "depthwise", "head"))  # fmt: skip
    graph = ChannelGraph(model)
    found = scores(graph, GroupMagnitude(p=1, normalizer="none"))
    places = power(head, 0, 1).reshape(4, 4).sum(axis=0)
    expected = np.mean([power(first, 3, 1), power(depthwise, 2, 1), places], axis=0)
    np.testing.assert_allclose(found["first"], expected, rtol=1e-6)


@pytest.mark.parametrize(
    "normalizer, expected",
    [
        ("mean", [0.0, 0.5, 1.0, 2.5]),
        ("sum", [0.0, 0.125, 0.25, 0.625]),
        ("max", [0.0, 0.2, 0.4, 1.0]),
        ("median", [0.0, 0.5, 1.0, 2.5]),
        ("min-max", [0.0, 0.2, 0.4, 1.0]),
        ("lamp", [0.0, 1 / 8, 2 / 7, 1.0]),
        ("none", [0.0, 1.0, 2.0, 5.0]),
    ],
)
def test_normalizers_by_hand(normalizer, expected):
    model = networks.dense((4,), inputs=1)
    model.get_layer("hidden0").kernel.assign([[0.0, 1.0, 2.0, 5.0]])
    graph = ChannelGraph(model)
    importance = GroupMagnitude(1, normalizer=normalizer, reduction="first")
    np.testing.assert_allclose(scores(graph, importance)["hidden0"], expected, rtol=1e-6)


@pytest.mark.parametrize("normalizer", ["mean", "sum", "max", "min-max", "gaussian", "lamp"])
def test_a_group_of_zeros_has_finite_scores(normalizer):
    model = networks.dense((4,))
    model.set_weights([np.zeros_like(value) for value in model.get_weights()])
    found = scores(ChannelGraph(model), GroupMagnitude(normalizer=normalizer))
    np.testing.assert_array_equal(found["hidden0"], np.zeros(4))


def test_diverged_weights_are_refused(graph):
    model = networks.dense((4,))
    model.get_layer("head").kernel.assign(np.full((4, 3), np.nan))
    with pytest.raises(ValueError, match="NaN"):
        scores(ChannelGraph(model), GroupMagnitude())


def test_half_precision_weights():
    model = networks.dense((4,))
    zeros = {**networks.ZEROS, "dtype": "bfloat16"}
    stack = [keras.layers.Dense(4, name="hidden0", **zeros), keras.layers.Dense(3, **zeros)]
    half = keras.Sequential([keras.Input((5,)), *stack])
    half.set_weights(model.get_weights())
    found = [scores(ChannelGraph(each), GroupMagnitude())["hidden0"] for each in (half, model)]
    np.testing.assert_allclose(found[0], found[1], rtol=0.02)
