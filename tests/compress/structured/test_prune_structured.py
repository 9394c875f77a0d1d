"""Smaller models: which channels went, what stays the same, what is refused."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_compress as kc
from keras_compress.structured import (
    ChannelBudget,
    ChannelGraph,
    ChannelImportance,
    GroupMagnitude,
    GroupTaylor,
)
from tests.compress.structured import networks


class Given(ChannelImportance):
    """Scores made by hand."""

    def __init__(self, **scores):
        self.given = scores

    def scores(self, graph, groups):
        return {group.name: np.asarray(self.given[group.name], "float64") for group in groups}


def weights(model):
    return [np.array(value) for value in model.get_weights()]


def output(model, x):
    return keras.ops.convert_to_numpy(model(x))


def widths(model):
    return {
        layer.name: getattr(layer, "units", None) or layer.filters
        for layer in model.layers
        if isinstance(layer, (layers.Dense, layers.Conv2D)) and layer.name != "head"
    }


def test_the_kept_weights_are_those_of_the_best_channels():
    model = networks.dense((4, 3))
    before = weights(model)
    given = Given(hidden0=[4.0, 1.0, 3.0, 2.0], hidden1=[1.0, 3.0, 2.0])
    small = kc.prune_structured(model, 0.5, importance=given)
    expected = [
        before[0][:, [0, 2]],
        before[1][[0, 2]],
        before[2][[0, 2]][:, [1]],
        before[3][[1]],
        before[4][[1]],
        before[5],
    ]
    for found, wanted in zip(weights(small), expected, strict=True):
        np.testing.assert_array_equal(found, wanted)
    for found, wanted in zip(weights(model), before, strict=True):
        np.testing.assert_array_equal(found, wanted)
    assert [layer.name for layer in small.layers] == [layer.name for layer in model.layers]
    assert not small.compiled


def test_the_result_computes_what_the_original_does_without_these_channels():
    model = networks.dense((4, 3))
    given = Given(hidden0=[4.0, 1.0, 3.0, 2.0], hidden1=[1.0, 3.0, 2.0])
    small = kc.prune_structured(model, 0.5, importance=given)
    zeroed = weights(model)
    zeroed[2][[1, 3]] = 0.0
    zeroed[4][[0, 2]] = 0.0
    model.set_weights(zeroed)
    x = np.random.default_rng(0).normal(size=(6, 5)).astype("float32")
    np.testing.assert_allclose(output(small, x), output(model, x), rtol=1e-5, atol=1e-5)


def test_local_and_global_ranking_of_a_residual_network():
    model = networks.residual()
    graph = ChannelGraph(model)
    scores = GroupMagnitude().scores(graph, graph.groups)
    local = kc.prune_structured(model, 0.4)
    sizes = {group.name: group.size for group in ChannelGraph(local).groups}
    assert sizes == {group.name: int(group.size * 0.6) for group in graph.groups}
    shared = kc.prune_structured(model, 0.4, scope="global")
    left = {group.name: group.size for group in ChannelGraph(shared).groups}
    # 26 channels, of which floor(15.6) stay, the largest ones.
    threshold = np.sort(np.concatenate(list(scores.values())))[-15]
    assert left == {name: max(1, int((each >= threshold).sum())) for name, each in scores.items()}


def test_isomorphic_scope_ranks_groups_that_are_built_alike():
    model = networks.residual()
    graph = ChannelGraph(model)
    scores = GroupMagnitude().scores(graph, graph.groups)
    small = kc.prune_structured(model, 0.4, scope="isomorphic")
    left = {group.name: group.size for group in ChannelGraph(small).groups}
    pair = np.concatenate([scores["one_first"], scores["two_first"]])
    assert left["one_first"] + left["two_first"] == 6
    threshold = np.sort(pair)[-6]
    assert left["one_first"] == (scores["one_first"] >= threshold).sum()
    assert left["hidden"] == 3


def test_ratios_layer_by_layer_and_a_choice_of_layers():
    model = networks.dense((8, 6))
    assert widths(kc.prune_structured(model, {"hidden1": 0.5})) == {"hidden0": 8, "hidden1": 3}
    mixed = kc.prune_structured(model, {"hidden0": 0.25, "hidden*": 0.5})
    assert widths(mixed) == {"hidden0": 6, "hidden1": 3}
    assert widths(kc.prune_structured(model, layers="hidden0")) == {"hidden0": 4, "hidden1": 6}
    narrow = kc.prune_structured(model, 0.4, round_to=4)
    assert widths(narrow) == {"hidden0": 4, "hidden1": 4}


def test_groups_of_which_a_layer_is_not_chosen_stay():
    model = networks.residual()
    chosen = ["stem", "one_first", "hidden"]
    small = kc.prune_structured(model, 0.5, layers=chosen)
    sizes = {group.name: group.size for group in ChannelGraph(small).groups}
    assert sizes == {"stem": 4, "one_first": 2, "down": 6, "two_first": 5, "hidden": 3}
    with pytest.raises(ValueError, match="Coupled with others.*one_second"):
        kc.prune_structured(model, 0.5, layers="stem")


def macs(model):
    return kc.analysis.count_macs(model).macs


@pytest.mark.parametrize(
    "cost, scope, ratios",
    [
        ("parameters", "local", (0.3, 0.6)),
        ("parameters", "global", (0.3, 0.6)),
        ("macs", "local", (0.3, 0.6)),
        (macs, "global", (0.6,)),
    ],
)
def test_budgets_are_kept_and_used(cost, scope, ratios):
    model = networks.dense((16, 12))
    measure = keras.Model.count_params if cost == "parameters" else macs
    for ratio in ratios:
        small = kc.prune_structured(model, ratio, scope=scope, budget=cost)
        assert measure(small) <= (1 - ratio) * measure(model)
        # One unit more of each layer would be too much.
        assert measure(small) > (1 - ratio) * measure(model) - (5 + 16 + 12 + 3 + 2)


def test_a_budget_finds_the_largest_model_that_meets_it():
    model = networks.dense((6, 5))
    small = kc.prune_structured(model, 0.5, scope="global", budget="macs")
    sizes = [
        macs(kc.prune_structured(model, removed / 11, scope="global")) for removed in range(2, 7)
    ]
    assert sizes[0] > 0.5 * macs(model) > sizes[-1]
    assert macs(small) == max(each for each in sizes if each <= 0.5 * macs(model))


def test_macs_of_a_residual_network():
    model = networks.residual()
    small = kc.prune_structured(model, 0.5, scope="global", budget="macs")
    assert 0.3 * macs(model) < macs(small) <= 0.5 * macs(model)


def test_limits_of_a_budget():
    model = networks.dense((8, 6))
    budget = ChannelBudget(max_ratio=0.5, min_channels=4)
    assert widths(kc.prune_structured(model, 0.9, budget=budget)) == {"hidden0": 4, "hidden1": 4}
    with pytest.raises(ValueError, match="budget"):
        kc.prune_structured(model, 0.9, budget=ChannelBudget("macs", max_ratio=0.5))


def test_taylor_takes_data_and_the_compiled_loss():
    model = networks.dense((6,))
    model.compile("sgd", "mse")
    rng = np.random.default_rng(0)
    data = rng.normal(size=(8, 5)).astype("float32"), rng.normal(size=(8, 3)).astype("float32")
    small = kc.prune_structured(model, 0.5, importance="taylor", data=data)
    graph = ChannelGraph(model)
    scores = GroupTaylor(data).scores(graph, graph.groups)["hidden0"]
    best = np.sort(np.argsort(scores)[-3:])
    np.testing.assert_array_equal(weights(small)[0], weights(model)[0][:, best])
    assert model.compiled and not small.compiled


def test_recurrent_and_attention_layers():
    small = kc.prune_structured(networks.recurrent(), 0.5)
    assert [layer.get_config().get("units") for layer in small.layers[1:3]] == [1, 2]
    inputs = keras.Input((4, 6))
    x = layers.MultiHeadAttention(4, 2, name="attention")(inputs, inputs)
    model = keras.Model(inputs, layers.Dense(2)(x))
    kinds = {group.name: group.kind for group in ChannelGraph(model).groups}
    assert "heads" in kinds.values()
    small = kc.prune_structured(model, 0.5, scope="global")
    assert small.get_layer("attention").num_heads == 2


@pytest.mark.parametrize("method", ["bias", "obs", "mask"])
def test_compensation_changes_what_stays(method):
    model = networks.dense((6,))
    x = np.random.default_rng(0).normal(size=(40, 5)).astype("float32")
    plain = kc.prune_structured(model, 0.5)
    better = kc.prune_structured(model, 0.5, compensate=method, data=x)
    error = [np.mean(np.square(output(each, x) - output(model, x))) for each in (plain, better)]
    assert widths(better) == widths(plain)
    assert error[1] < error[0]


class AllAlike(ChannelImportance):
    def scores(self, graph, groups):
        return {group.name: np.full(group.size, np.nan) for group in groups}


@pytest.mark.parametrize(
    "arguments, error, match",
    [
        ({"ratio": 1.0}, ValueError, "ratio"),
        ({"ratio": "half"}, TypeError, "half"),
        ({"ratio": {"hidden0": 0.5}, "budget": "macs"}, ValueError, "one number"),
        ({"importance": "best"}, ValueError, "best"),
        ({"importance": AllAlike()}, ValueError, "NaN"),
        ({"importance": "taylor"}, ValueError, "data"),
        ({"scope": "word"}, ValueError, "scope"),
        ({"budget": "euros"}, ValueError, "euros"),
        ({"layers": "missing"}, ValueError, "missing"),
        ({"layers": "head"}, ValueError, "Layers to choose from"),
        ({"round_to": 0}, ValueError, "round_to"),
        ({"compensate": "luck"}, ValueError, "luck"),
        ({"compensate": "bias"}, ValueError, "data"),
        ({"data": np.zeros((4, 5), "float32")}, ValueError, "uses it"),
    ],
)
def test_wrong_arguments(arguments, error, match):
    with pytest.raises(error, match=match):
        kc.prune_structured(networks.dense((4,)), **arguments)


def test_models_without_channels_to_remove():
    with pytest.raises(ValueError, match="no channels"):
        kc.prune_structured(keras.Sequential([keras.Input((3,)), layers.Dense(2)]))
    with pytest.raises(TypeError, match="model"):
        kc.prune_structured("model")
