import keras
import numpy as np
import pytest
from keras import layers

import keras_reweight as kr
from keras_reweight.core.channels.symmetries import Symmetries
from tests.compress.structured.pruned import run
from tests.reweight.matching.networks import NETWORKS, network, stack, uneven


def random_orders(model, seed=0):
    rng = np.random.default_rng(seed)
    groups = Symmetries(model, "test").groups
    # Not the identity, not its own inverse where there are three channels or more.
    return {
        name: np.roll(rng.permutation(group.size), 1) if group.size > 2 else np.array([1, 0])
        for name, group in groups.items()
    }


@pytest.mark.parametrize("name", NETWORKS)
def test_a_permuted_model_computes_the_same(name):
    x, model = NETWORKS[name][1], network(name)
    orders = random_orders(model)
    before, digest = run(model, x), kr.weight_digest(model)
    kernels = [w.astype("float64") for w in model.get_weights() if w.ndim == 2]
    patch = kr.matching.permute(model, orders)
    with patch.patched(model):
        after = run(model, x)
        assert len(patch.indices) == len({*patch.indices}) and kr.weight_digest(model) != digest
        for old, new in zip(kernels, (w for w in model.get_weights() if w.ndim == 2), strict=True):
            np.testing.assert_allclose(*(np.linalg.svd(w)[1] for w in (old, new)), rtol=1e-5)
    scale = np.abs(before).max()
    assert scale > 1e-2
    np.testing.assert_allclose(after, before, rtol=0, atol=1e-5 * max(scale, 1.0))
    assert kr.weight_digest(model) == digest
    # Every single group matters: one of them alone does not give the old weights either.
    for group in orders:
        deltas = kr.matching.permute(model, {group: orders[group]})
        assert any(np.abs(deltas.delta(index)).max() > 0 for index in deltas.indices), group


def test_all_networks_together_have_every_kind_of_group():
    names = {name: set(Symmetries(network(name), "test").groups) for name in NETWORKS}
    assert names == {
        "attention": {"in", "attention:heads"},
        "flattened": {"first"},
        "mixed": {"wide", "grouped", "in"},
        "nested": {"outside", "both/forward_gru", "both/backward_gru"},
        "recurrent": {"embedding", "lstm", "gru"},
        "residual": {"stem", "one_first", "down", "two_first", "hidden"},
    }


def test_the_inverse_brings_back_the_weights():
    model = stack(0)
    before = model.get_weights()
    matching = kr.matching.ChannelMatching(random_orders(model))
    patcher = kr.SignaturePatcher(model)
    patcher.apply(kr.matching.permute(model, matching))
    patcher.commit()
    assert not np.array_equal(model.get_weights()[0], before[0])
    patcher.apply(kr.matching.permute(model, matching.inverse(), name="back"))
    for found, expected in zip(model.get_weights(), before, strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


def test_places_by_hand():
    model = stack(0, (2, 3, 2))
    kernel, bias, head, _ = model.get_weights()
    order = np.array([2, 0, 1])
    with kr.matching.permute(model, {"hidden0": order}).patched(model):
        found = model.get_weights()
    np.testing.assert_allclose(found[0], kernel[:, [2, 0, 1]], atol=1e-9)
    np.testing.assert_allclose(found[1], bias[[2, 0, 1]], atol=1e-9)
    np.testing.assert_allclose(found[2], head[[2, 0, 1]], atol=1e-9)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_low_precision_weights_move_exactly(dtype):
    model = keras.Sequential(
        [keras.Input((3,)), layers.Dense(4, dtype=dtype, name="a"), layers.Dense(2, dtype=dtype)]
    )
    model.set_weights([np.sin(1.0 + np.indices(w.shape).sum(0) ** 2) for w in model.weights])
    kernel = keras.ops.convert_to_numpy(keras.ops.cast(model.layers[0].kernel.value, "float32"))
    with kr.matching.permute(model, {"a": [3, 1, 0, 2]}).patched(model):
        found = keras.ops.convert_to_numpy(keras.ops.cast(model.layers[0].kernel.value, "float32"))
    np.testing.assert_array_equal(found, kernel[:, [3, 1, 0, 2]])


def test_channels_with_unequal_numbers_of_places_stay():
    symmetries = Symmetries(uneven(), "test")
    assert {group.name for group in symmetries.channels.groups} == {"a", "hidden"}
    assert set(symmetries.groups) == {"hidden"}
    assert "more often than others" in symmetries.stays["a"]
    assert symmetries.stays["b"] == symmetries.stays["a"]


def test_unknown_layers_keep_the_order_of_what_they_touch():
    x = keras.Input((4,))
    y = layers.Lambda(lambda z: z, name="own")(layers.Dense(5, name="before")(x))
    model = keras.Model(x, layers.Dense(2, name="head")(layers.Dense(3, name="after")(y)))
    matching = kr.matching.match_weights(model, model)
    assert set(matching.permutations) == {"after"}
    assert "no rule for Lambda" in matching.stays["before"]
    assert "before: stays, own" in str(matching) and "0 of 3 channels moved" in str(matching)


@pytest.mark.parametrize(
    ("matching", "error", "message"),
    [
        ({}, ValueError, "names no group"),
        ({"head": [0, 1, 2]}, ValueError, "'head' is no group.*output of the model"),
        ({"hidden0": [0, 1]}, ValueError, r"permutation of 0\.\.11"),
        ({"hidden0": [0] * 12}, ValueError, r"permutation of 0\.\.11"),
        ([0, 1], TypeError, "ChannelMatching or a dict"),
    ],
)
def test_wrong_matchings(matching, error, message):
    with pytest.raises(error, match=message):
        kr.matching.permute(stack(0), matching)
