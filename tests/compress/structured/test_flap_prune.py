"""The four structures by hand, and the whole method on a small network."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

import keras_compress as kc
from keras_compress.structured.chosen_groups import channel_cost, chosen_groups
from keras_compress.structured.flap_prune import select
from keras_reweight.core.testing.compare import identical, snapshot
from tests.compress.structured.importances.test_fluctuation import X, reference_of_dense
from tests.compress.structured.networks import dense, numbered

GROUPS = [
    kc.structured.ChannelGroup(name, size, kind, (name,), ())
    for name, size, kind in (("heads", 3, "heads"), ("a", 4, "units"), ("b", 2, "units"))
]
SCORES = {
    "heads": np.array([3.0, 1.0, 2.0]),
    "a": np.array([0.4, 0.1, 0.3, 0.2]),
    "b": np.array([5.0, 6.0]),
}


@pytest.mark.parametrize(
    ("structure", "costs", "gone"),
    [
        ("UL-UM", (1, 1, 1), {"heads": [1], "a": [1, 3], "b": [0]}),
        ("UL-MM", (1, 1, 1), {"heads": [1], "a": [1, 2, 3], "b": []}),
        ("AL-MM", (1, 1, 1), {"heads": [1], "a": [1, 2, 3], "b": []}),
        ("AL-AM", (1, 1, 1), {"heads": [], "a": [0, 1, 2, 3], "b": []}),
        ("AL-AM", (3, 1, 1), {"heads": [1], "a": [0, 1, 2, 3], "b": []}),
    ],
)
def test_structures(structure, costs, gone):
    costs = dict(zip(SCORES, costs, strict=True))
    keep = select(GROUPS, SCORES, 0.45, structure, costs)
    for name, channels in gone.items():
        expected = np.ones(len(SCORES[name]), bool)
        expected[channels] = False
        # One channel always stays: the best.
        expected[0] |= name == "a" and not expected.any()
        np.testing.assert_array_equal(keep[name], expected)


def reference_flap(x, units, ratio):
    """Weights of `dense(units)` after AL-AM with WIFV and bias, by NumPy."""
    model = dense(units, inputs=x.shape[-1])
    weights = [np.asarray(value, "float64") for value in model.get_weights()]
    scores = reference_of_dense(x, units)
    widths = [x.shape[-1], *units, weights[-1].size]
    costs = [widths[n] + 1 + widths[n + 2] for n in range(len(units))]
    ranked = sorted(
        (score, layer, unit)
        for layer, name in enumerate(scores)
        for unit, score in enumerate(scores[name])
    )
    total = sum(cost * size for cost, size in zip(costs, units, strict=True))
    spent = np.cumsum([0, *(costs[layer] for _, layer, _ in ranked)])
    count = int(np.argmin(np.abs(spent - ratio * total)))
    keep = [np.ones(size, bool) for size in units]
    for _, layer, unit in ranked[:count]:
        keep[layer][unit] = False
    rows = x
    result = []
    kept_in = np.ones(x.shape[-1], bool)
    means = np.zeros(x.shape[-1])
    for number, kept in enumerate([*keep, np.ones(weights[-1].size, bool)]):
        w, b = weights[2 * number], weights[2 * number + 1]
        shifted = b + means[~kept_in] @ w[~kept_in]
        result += [w[kept_in][:, kept], shifted[kept]]
        rows = np.maximum(rows @ w + b, 0.0)
        kept_in, means = kept, rows.mean(axis=0)
    return result


def test_the_whole_method():
    model = dense((8, 6))
    before = snapshot({"model": model})
    small = kc.structured.flap_prune(model, X, ratio=0.4)
    assert identical(before, snapshot({"model": model}))
    expected = reference_flap(X, (8, 6), 0.4)
    assert small.count_params() < model.count_params()
    for value, wanted in zip(small.get_weights(), expected, strict=True):
        np.testing.assert_allclose(value, wanted, rtol=1e-4, atol=1e-5)


def test_residual_streams_stay_and_heads_compete_with_units():
    entry = keras.Input((4, 6))
    x = layers.Add()([entry, layers.MultiHeadAttention(4, 2, name="attention")(entry, entry)])
    y = layers.Dense(12, activation="gelu", name="up")(x)
    x = layers.Add()([x, layers.Dense(6, name="down")(y)])
    model = numbered(keras.Model(entry, layers.Dense(2, name="head")(x)))
    graph = kc.structured.ChannelGraph(model)
    groups = chosen_groups(graph)
    assert [group.kind for group in groups] == ["heads", "units"]
    # Query, key, value and their biases, output; kernel column, bias and kernel row.
    assert [channel_cost(graph, group) for group in groups] == [3 * (6 + 1) * 2 + 2 * 6, 6 + 1 + 6]
    x = np.random.default_rng(0).normal(size=(9, 4, 6)).astype("float32")
    small = kc.structured.flap_prune(model, x, ratio=0.5)
    assert small.get_layer("down").units == 6
    widths = small.get_layer("attention").num_heads, small.get_layer("up").units
    cost = widths[0] * 54 + widths[1] * 13
    total = 4 * 54 + 12 * 13
    assert abs(cost - total / 2) <= 54 / 2
    only = kc.structured.flap_prune(model, x, ratio=0.5, layers="up", structure="UL-UM", bias=False)
    assert only.get_layer("attention").num_heads == 4 and only.get_layer("up").units == 6
    with pytest.raises(ValueError, match="down"):
        kc.structured.flap_prune(model, x, layers="down")
