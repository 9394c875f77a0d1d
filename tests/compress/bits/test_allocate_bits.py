"""Plans for models: budgets, layers without a choice, use in quantization."""

import json

import keras
import numpy as np
import pytest
from keras import layers

import keras_compress as kc
from tests.compress.bits.networks import network

SCORES = {"first": 4.0, "middle": 0.1, "last": 1.0}
SIZES = {"first": 12, "middle": 16, "last": 8}


@pytest.fixture(scope="module")
def model():
    return network()


@pytest.mark.parametrize("method", ["greedy", "knapsack", "closed_form", "split"])
def test_budgets_hold_and_more_of_them_gives_more_bits(model, method):
    choices = (2, 8) if method == "split" else (2, 3, 4, 8)
    seen = []
    for mean in (2.0, 3.0, 10 / 3, 4.5, 8.0):
        plan = kc.bits.allocate_bits(model, SCORES, mean_bits=mean, choices=choices, method=method)
        assert list(plan) == list(SIZES) and plan.sizes == SIZES
        assert plan.mean_bits <= mean + 1e-9
        seen.append(plan.mean_bits)
    assert seen == sorted(seen) and (seen[0], seen[-1]) == (2.0, 8.0)
    assert plan["first"] >= plan["middle"]


def test_bytes_are_those_of_the_quantized_model(model):
    for limit in (100, 107, 131):
        plan = kc.bits.allocate_bits(model, SCORES, max_bytes=limit)
        quantized = kc.quantize_aware(model, weights=plan)
        assert kc.quantization.packed_size(quantized) == plan.num_bytes <= limit
        for path in plan:
            (pair,) = quantized.get_layer(path).quantized_matrices().values()
            assert pair[1].bits == plan[path]
    tight = kc.bits.allocate_bits(model, SCORES, max_bytes=plan.num_bytes)
    assert dict(tight) == dict(plan)


def test_losses_at_each_choice(model):
    losses = {path: {2: score, 4: 0.9 * score, 8: 0.0} for path, score in SCORES.items()}
    plan = kc.bits.allocate_bits(model, losses, mean_bits=4.0, choices=(2, 4, 8))
    assert dict(plan) == {"first": 8, "middle": 2, "last": 2}
    assert plan.scores == losses and "score 0 " not in str(plan)
    assert "first   8 bits            12 weights  score 0\n" in str(plan)


def test_fixed_layers_and_float_ones(model):
    plan = kc.bits.allocate_bits(
        model, {"middle": 1.0}, mean_bits=5.0, fixed={"first": 8, "last": None}
    )
    # 12 weights at 8 of the 28 * 5 bits leave 44 for 16 weights.
    assert dict(plan) == {"first": 8, "middle": 2}
    assert plan.unquantized == {"last": "`fixed` leaves it float"}
    assert str(plan).splitlines()[2] == "last    float   `fixed` leaves it float"
    quantized = kc.quantize_aware(model, weights=plan)
    assert kc.quantization.packed_size(quantized) == plan.num_bytes


def test_what_cannot_be_quantized_is_told_and_containers_count_as_one():
    inner = keras.Sequential(
        [keras.Input((4,)), layers.Dense(6, name="up"), layers.Dense(4, name="down")], name="block"
    )
    model = keras.Sequential(
        [keras.Input((4,)), layers.BatchNormalization(name="norm"), inner, layers.Dense(3)]
    )
    scores = kc.bits.layer_importance(model, method="relative_mse", layers=["block", "dense"])
    plan = kc.bits.allocate_bits(model, scores, mean_bits=3.0)
    assert plan.sizes == {"block": 48, "dense": 12} and plan.unquantized == {}


def test_plans_reach_attention_and_embeddings():
    ids = np.arange(12).reshape(3, 4) % 5
    inputs = keras.Input((4,), dtype="int32")
    x = layers.Embedding(5, 6, name="tokens")(inputs)
    x = layers.MultiHeadAttention(2, 3, name="attention")(x, x)
    model = keras.Model(inputs, layers.Dense(5, name="head")(x))
    scores = kc.bits.layer_importance(model, method="relative_mse")
    assert list(scores)[:2] == ["tokens", "attention/query"] and len(scores) == 6
    plan = kc.bits.allocate_bits(model, scores, mean_bits=3.5)
    assert len(set(plan.values())) > 1
    aware = kc.quantize_aware(model, weights=plan)
    assert kc.quantization.packed_size(aware) == plan.num_bytes
    solver = kc.post_training.RoundToNearest()
    quantized = kc.post_training.quantize(
        model, ids, solver=solver, bits=plan, layers=list(plan), batch_size=3
    )
    found = {path.rsplit("/", 1)[0]: one.grid.bits for path, one in quantized.matrices.items()}
    assert found == dict(plan)


def test_a_plan_is_a_mapping_ready_for_json(model):
    plan = kc.bits.allocate_bits(model, SCORES, mean_bits=4.0)
    assert json.loads(json.dumps(dict(plan))) == {**plan} == plan
    corrected = kc.quantize_aware(model, weights={**plan, "last": 8})
    (pair,) = corrected.get_layer("last").quantized_matrices().values()
    assert pair[1].bits == 8
    with pytest.raises(KeyError):
        plan["no such layer"]
    ax = plan.plot()
    areas = [bar.get_width() * bar.get_height() for bar in ax.patches]
    np.testing.assert_allclose(sum(areas), plan.mean_bits)
    assert [label.get_text() for label in ax.get_xticklabels()] == list(plan)
    assert plan.plot(ax=ax) is ax


def test_arguments(model):
    budget = {"mean_bits": 4.0}
    for scores, options, error, name in (
        (SCORES, {}, ValueError, "mean_bits"),
        (SCORES, {"mean_bits": 4.0, "max_bytes": 100}, ValueError, "max_bytes"),
        (SCORES, {"mean_bits": 1.9}, ValueError, "mean_bits.*lowest"),
        (SCORES, {"max_bytes": 10}, ValueError, "max_bytes.*lowest"),
        ([1.0], budget, TypeError, "scores"),
        ({}, budget, ValueError, "scores"),
        ({"first": 1.0}, budget, ValueError, r"lacks layers \['middle', 'last'\]"),
        ({**SCORES, "head": 1.0}, budget, ValueError, "scores.*head"),
        ({**SCORES, "last": np.nan}, budget, ValueError, "last"),
        ({**SCORES, "last": "much"}, budget, TypeError, "last"),
        ({**SCORES, "last": -1.0}, budget, ValueError, "split"),
        ({**SCORES, "last": {2: 1.0}}, budget, ValueError, r"\[3, 4, 8\]"),
        (SCORES, {**budget, "fixed": {"last": 8}}, ValueError, "fixed.*twice"),
        (SCORES, {**budget, "fixed": [8]}, TypeError, "fixed"),
        ({"first": 1.0, "last": 1.0}, {**budget, "fixed": {"middle": 9}}, ValueError, "fixed"),
        (SCORES, {**budget, "choices": (4, 2)}, ValueError, "choices"),
        (SCORES, {**budget, "choices": ()}, ValueError, "choices"),
        (SCORES, {**budget, "method": "split"}, ValueError, "choices"),
    ):
        with pytest.raises(error, match=name):
            kc.bits.allocate_bits(model, scores, **options)
    table = {path: {2: 1.0, 8: 0.0} for path in SCORES}
    with pytest.raises(ValueError, match="one number"):
        kc.bits.allocate_bits(model, table, **budget, choices=(2, 8), method="split")
