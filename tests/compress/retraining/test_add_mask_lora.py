"""The wrapped model starts as the pruned one and trains without touching a zero."""

import warnings

import keras
import numpy as np
import pytest
from keras import layers

import keras_compress as kc
from keras_compress.retraining import add_mask_lora
from tests.compress.retraining.networks import X, mlp, numpy, pruned


def test_it_computes_what_the_model_computes_and_leaves_it_alone():
    model = pruned(mlp())
    before = model.get_weights()
    adapted = add_mask_lora(model, rank=2, seed=0)
    np.testing.assert_allclose(numpy(adapted(X)), numpy(model(X)), rtol=1e-6)
    assert all(map(np.array_equal, before, model.get_weights()))
    assert [type(layer).__name__ for layer in adapted.layers] == [
        "MaskLoRA", "BatchNormalization", "MaskLoRA",
    ]  # fmt: skip
    names = sorted(variable.name for variable in adapted.trainable_variables)
    assert names == ["beta", "bias", "bias", "gamma", "lora_a", "lora_a", "lora_b", "lora_b"]


def test_a_chosen_layer_of_a_nested_model_is_wrapped():
    inputs = keras.Input((6,))
    outputs = mlp()(layers.Dense(6, name="before")(inputs))
    model = pruned(keras.Model(inputs, outputs), 0.0)
    adapted = add_mask_lora(model, rank=1, layers="head")
    wrapped = [path for path, layer in _layers(adapted) if isinstance(layer, kc.layers.MaskLoRA)]
    assert [path.rpartition("/")[2] for path in wrapped] == ["head"]
    np.testing.assert_allclose(numpy(adapted(X)), numpy(model(X)), rtol=1e-6)


def _layers(model):
    from keras_reweight.core.selection import layers_by_path

    return layers_by_path(model).items()


def test_pruned_layers_that_cannot_be_wrapped_are_named():
    tokens = keras.Input((4, 6))
    hidden = layers.MultiHeadAttention(1, 2, name="attention")(tokens, tokens)
    model = pruned(keras.Model(tokens, layers.Dense(2, name="out")(hidden)))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", UserWarning)
        adapted = add_mask_lora(model, rank=1)
    (warning,) = caught
    assert "layers ['attention'] are pruned" in str(warning.message)
    assert "KeepSparsity" in str(warning.message)
    assert type(adapted.get_layer("out")) is kc.layers.MaskLoRA
    model.get_layer("attention").trainable = False
    add_mask_lora(model, rank=1)  # frozen, so nothing can fill its zeros


def test_a_file_keeps_the_update(tmp_path):
    adapted = add_mask_lora(pruned(mlp()), rank=2, seed=0)
    adapted.layers[0].lora_b.assign(np.ones((2, 8)))
    adapted.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(numpy(loaded(X)), numpy(adapted(X)))
    assert not loaded.layers[0].kernel.trainable
    assert (loaded.layers[0].rank, loaded.layers[0].mode) == (2, "mask")


def test_frozen_layers_stay_frozen():
    model = mlp()
    model.get_layer("head").trainable = False
    adapted = add_mask_lora(model, rank=1)
    assert not adapted.get_layer("head").trainable_variables


def test_subclassed_models_are_refused_with_advice():
    class Own(keras.Model):
        def build(self, input_shape):
            self.dense = layers.Dense(2)
            self.dense.build(input_shape)
            super().build(input_shape)

    model = Own()
    model.build((None, 6))
    with pytest.raises(ValueError, match=r"kc.layers.MaskLoRA\(keras.layers.Dense"):
        add_mask_lora(model)
