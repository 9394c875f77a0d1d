"""Only what is named is trained, and the flags come back."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_compress.retraining import add_mask_lora, perp_retrainable
from tests.compress.retraining.networks import mlp, pruned


def trained(model):
    return [variable.path.split("/", 1)[-1] for variable in model.trainable_variables]


@pytest.mark.parametrize(
    "what, expected",
    [
        (["bias"], ["first/bias", "head/bias"]),
        (["norm"], ["norm/gamma", "norm/beta"]),
        (["head"], ["head/kernel", "head/bias"]),
        (
            ["bias", "norm", "head"],
            ["first/bias", "norm/gamma", "norm/beta", "head/kernel", "head/bias"],
        ),
    ],
)
def test_parts(what, expected):
    model = mlp()
    flags = [variable.trainable for variable in model.variables]
    report = perp_retrainable(model, what)
    assert [path.split("/", 1)[-1] for path in report.touched] == expected
    assert len(trained(model)) == len(expected)
    size = sum(int(np.prod(v.shape)) for v in model.trainable_variables)
    assert report.share == size / model.count_params()
    assert len(report.touched) + len(report.skipped) == 6
    report.restore()
    assert [variable.trainable for variable in model.variables] == flags


def test_a_pruned_head_stays_as_it_is():
    model = pruned(mlp())
    report = perp_retrainable(model)
    assert any("head" in path for path in report.skipped)
    assert "the kernel of the head is pruned" in str(report)
    assert sum(len(variable.shape) > 1 for variable in model.trainable_variables) == 0


def test_updates_are_a_part_too():
    adapted = add_mask_lora(pruned(mlp()), rank=2)
    perp_retrainable(adapted, ["lora"])
    assert {variable.name for variable in adapted.trainable_variables} == {"lora_a", "lora_b"}
    assert len(adapted.trainable_variables) == 4


def test_what_was_frozen_stays_frozen():
    model = mlp()
    model.get_layer("first").trainable = False
    report = perp_retrainable(model, ["bias"])
    assert trained(model) == ["head/bias"] and len(report.touched) == 1
    report.restore()
    assert not model.get_layer("first").trainable_variables


def test_biases_inside_attention_and_recurrent_layers_count():
    tokens = keras.Input((3, 4))
    hidden = layers.MultiHeadAttention(1, 2)(tokens, tokens)
    model = keras.Model(tokens, layers.GRU(2)(hidden))
    report = perp_retrainable(model, ["bias"])
    assert len(report.touched) == 5 and all(path.endswith("bias") for path in report.touched)


def test_bad_parts_are_refused_and_change_nothing():
    model = keras.Sequential([keras.Input((2,)), layers.Dense(2, use_bias=False)])
    for what, error in (("bias", TypeError), (["weights"], ValueError), ([], ValueError)):
        with pytest.raises(error, match="`what`"):
            perp_retrainable(model, what)
    with pytest.raises(ValueError, match="leaves nothing to train"):
        perp_retrainable(model, ["bias"])
    assert len(model.trainable_variables) == 1
