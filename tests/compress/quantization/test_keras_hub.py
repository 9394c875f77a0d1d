"""The backbones of KerasHub, tiny: quantization-aware and frozen."""

import keras
import numpy as np
import pytest

import keras_compress as kc
from tests.compress.quantization.common import normal, numpy

SIZES = {"vocabulary_size": 11, "num_layers": 1, "hidden_dim": 8, "intermediate_dim": 8}
# The result is a plain `keras.Model`; that a warning says so is tested elsewhere.
pytestmark = pytest.mark.filterwarnings("ignore:.*has a constructor of its own:UserWarning")
#: Weights of one block: attention (query, key, value, output) and feedforward.
BLOCK = 4 + 2


@pytest.fixture(scope="module")
def hub():
    import keras_hub

    return keras_hub.models


def gpt2(hub):
    return hub.GPT2Backbone(num_heads=2, max_sequence_length=4, dropout=0.1, **SIZES)


def bert(hub):
    return hub.BertBackbone(num_heads=2, max_sequence_length=4, num_segments=2, **SIZES)


def llama(hub):
    return hub.LlamaBackbone(num_query_heads=2, num_key_value_heads=1, **SIZES)


def fixed_config(self):
    """The configuration of a Llama block; that of KerasHub 0.32 names an attribute it lacks."""
    activation = keras.activations.serialize(self.activation)
    names = ("intermediate_dim", "num_query_heads", "num_key_value_heads", "dropout")
    own = {name: getattr(self, name) for name in names}
    return {**keras.layers.Layer.get_config(self), **own, "activation": activation}


def test_a_layer_without_a_usable_configuration_is_named(hub):
    with pytest.raises(ValueError, match="'transformer_layer_0'.*cannot be copied.*rope_scaling"):
        kc.quantize_aware(llama(hub))


def batch(model):
    tensors = {name: np.ones((2, 4), "int32") for name in model.input}
    return {**tensors, "token_ids": np.array([[1, 2, 3, 4], [5, 6, 7, 0]], "int32")}


@pytest.mark.parametrize(
    "make, matrices",
    [
        (gpt2, BLOCK + 1),  # token embedding
        (bert, BLOCK + 3),  # token and segment embedding, pooling
        (llama, BLOCK + 1 + 2),  # gated feedforward; input and output table
    ],
)
def test_backbones(hub, make, matrices, monkeypatch):
    model = make(hub)
    if make is llama:
        block = type(model.get_layer("transformer_layer_0"))
        monkeypatch.setattr(block, "get_config", fixed_config)
    for index, variable in enumerate(model.trainable_variables):
        if len(variable.shape) >= 2:
            variable.assign(0.3 * normal(*variable.shape, seed=index))
    quantized = kc.quantize_aware(model, weights={"token_embedding": 8, "*": 4}, method="stats")
    summary = kc.quantization.quantization_summary(quantized)
    assert sum(len(row.weight_bits) for row in summary.layers) == matrices
    unsupported = [path for path, reason in summary.skipped.items() if "supported" in reason]
    assert all("position_embedding" in path for path in unsupported)
    inputs = batch(model)
    found = keras.tree.flatten(quantized.predict_on_batch(inputs))
    expected = keras.tree.flatten(model.predict_on_batch(inputs))
    frozen = kc.freeze(quantized)
    for one, floats, plain in zip(
        found, expected, keras.tree.flatten(frozen.predict_on_batch(inputs)), strict=True
    ):
        assert np.any(one != floats)
        np.testing.assert_allclose(one, plain, rtol=1e-4, atol=1e-5)
    stored = kc.quantization.quantized_form(quantized)
    assert len(stored.matrices) == matrices
    if make is gpt2:
        quantized.compile(keras.optimizers.SGD(0.1), "mse")
        master = quantized.get_layer("transformer_layer_0").quantized_matrices()
        before = {name: numpy(one.value).copy() for name, (one, _) in master.items()}
        quantized.train_on_batch(inputs, np.ones((2, 4, 8), "float32"))
        for name, (variable, _) in master.items():
            assert np.any(numpy(variable.value) != before[name]), name


def test_post_training(hub, monkeypatch):
    for make, copy in ((gpt2, True), (llama, False)):
        model = make(hub)
        for index, variable in enumerate(model.trainable_variables):
            if len(variable.shape) >= 2:
                variable.assign(0.3 * normal(*variable.shape, seed=index))
        solver = kc.post_training.GPTAQ()
        found = kc.quantize_post_training(model, batch(model), solver=solver, bits=3, copy=copy)
        assert type(found.model) is type(model) and (found.model is model) is not copy
        assert len(found.matrices) == BLOCK + (make is llama)  # gated feedforward
        for variable in found.model.weights:
            if variable.path in found.matrices:
                assert np.array_equal(numpy(variable), found.matrices[variable.path].values())
