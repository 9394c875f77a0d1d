"""Every kind of layer: which values are quantized, training, freezing, files."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

import keras_compress as kc
from keras_compress.quantization.supported import matrices
from keras_reweight.core.testing.backends import with_keras_mask
from tests.compress.quantization.common import Drawn, assert_bitwise_equal, normal, numpy
from tests.compress.quantization.many_layers import (
    IDS,
    Block,
    many_layers,
    outputs_of,
    quantized_many_layers,
)
from tests.compress.quantizers import test_stats

ROOT = Path(__file__).resolve().parents[3]

#: Matrix -> axes of its channels, counted from the front; layers of other names follow the first.
AXES = {
    "embedding": {"embeddings": (0,)},
    "attention": {
        "query_dense/kernel": (1, 2),
        "key_dense/kernel": (1, 2),
        "value_dense/kernel": (1, 2),
        "output_dense/kernel": (2,),
    },
    "block": {"dense/0/kernel": (1,), "dense/1/kernel": (1,)},
    "lstm": {"kernel": (1,), "recurrent_kernel": (1,)},
    "gru": {"kernel": (1,), "recurrent_kernel": (1,)},
    "both": {
        "forward/kernel": (1,),
        "forward/recurrent_kernel": (1,),
        "backward/kernel": (1,),
        "backward/recurrent_kernel": (1,),
    },
    "timed": {"kernel": (1,)},
    "stacked": {
        "cell_0/kernel": (1,),
        "cell_0/recurrent_kernel": (1,),
        "cell_1/kernel": (1,),
        "cell_1/recurrent_kernel": (1,),
    },
    "head": {"kernel": (1,)},
}
AXES["grouped"] = AXES["attention"]


@pytest.fixture(scope="module")
def quantized():
    return quantized_many_layers()


def test_every_matrix_is_found_with_its_channels(quantized):
    found = {
        layer.name: {one.name: one for one in matrices(layer.layer)}
        for layer in quantized.layers
        if isinstance(layer, kc.layers.QuantizeAware)
    }
    assert set(found) == set(AXES)
    for layer, expected in AXES.items():
        assert set(found[layer]) == set(expected)
        for name, axes in expected.items():
            rank = len(found[layer][name].variable.shape)
            assert tuple(axis % rank for axis in found[layer][name].axis) == axes, (layer, name)


def test_bits_follow_names_of_matrices_containers_and_ends(quantized):
    def bits(layer):
        quantizers = quantized.get_layer(layer).weight_quantizers
        return {name: one.bits for name, one in quantizers.items()}

    assert bits("embedding") == {"embeddings": 8}
    assert bits("lstm") == {"kernel": 3, "recurrent_kernel": 5}
    assert bits("block") == {"dense/0/kernel": 4, "dense/1/kernel": 4}
    assert set(bits("attention").values()) == {3}


def test_inputs_of_inner_layers_are_quantized_where_they_are_used():
    inputs = keras.Input((3, 4))
    model = keras.Model(inputs, Block(name="block")(inputs))
    x = normal(8, 3, 4)
    quantized = kc.quantize_aware(model, weights=None, activations={"block": 4}, calibration_data=x)
    wrapper = quantized.get_layer("block")
    assert set(wrapper.input_quantizers) == {"dense/0", "dense/1"}
    block = wrapper.layer
    expected = numpy(block.norm(x))
    for dense in block.dense:
        scale = 2 * np.abs(expected).mean() / np.sqrt(7)
        name = "dense/0" if dense is block.dense[0] else "dense/1"
        found = numpy(wrapper.input_quantizers[name].scale.value)
        np.testing.assert_allclose(found, scale, rtol=1e-4)
        expected = numpy(dense(expected))
    hidden = numpy(block.norm(x))
    for name, dense in zip(("dense/0", "dense/1"), block.dense, strict=True):
        scale = numpy(wrapper.input_quantizers[name].scale.value)
        hidden = numpy(dense(np.round(np.clip(hidden / scale, -8, 7)) * scale))
    np.testing.assert_allclose(quantized.predict_on_batch(x), x + hidden, rtol=1e-4, atol=1e-5)
    quantized.compile(keras.optimizers.SGD(0.1), "mse")
    before = [numpy(one.scale.value).copy() for one in wrapper.input_quantizers.values()]
    quantized.train_on_batch(x, np.ones_like(x))
    for one, old in zip(wrapper.input_quantizers.values(), before, strict=True):
        assert numpy(one.scale.value) != old
    stored = kc.quantization.quantized_form(quantized)
    names = [dense.name for dense in stored.model.get_layer("block").dense]
    assert list(stored.ranges) == [f"block/{name}" for name in names]


def test_frozen_weights_are_those_of_the_formula_and_the_codes(quantized):
    stored = kc.quantization.quantized_form(quantized)
    frozen = stored.model
    assert len(stored.matrices) == sum(map(len, AXES.values()))
    for name in ("attention", "both", "stacked", "timed"):
        old = {one.name: one.variable for one in matrices(quantized.get_layer(name).layer)}
        for matrix in matrices(frozen.get_layer(name)):
            rank = len(matrix.variable.shape)
            rest = tuple(a for a in range(rank) if a not in AXES[name][matrix.name])
            expected = test_stats.reference(numpy(old[matrix.name].value), 3, rest)
            np.testing.assert_allclose(numpy(matrix.variable.value), expected, rtol=1e-5)
    for variable in stored.model.weights:
        if variable.path in stored.matrices:
            assert_bitwise_equal(numpy(variable.value), stored.matrices[variable.path].values())


def test_without_quantized_inputs_the_frozen_model_computes_the_same():
    quantized = kc.quantize_aware(many_layers(), weights=3, method="stats")
    frozen = kc.freeze(quantized)
    assert [type(layer) for layer in frozen.layers] == [
        type(layer) for layer in many_layers().layers
    ]
    expected = outputs_of(frozen)
    np.testing.assert_allclose(outputs_of(quantized), expected, rtol=1e-5, atol=1e-6)
    assert np.any(np.abs(outputs_of(many_layers()) - expected) > 1e-3)
    summary = kc.quantization.quantization_summary(quantized)
    assert set(summary.skipped) == {"join"}
    assert [row.path for row in summary.layers] == [
        layer.name for layer in quantized.layers if isinstance(layer, kc.layers.QuantizeAware)
    ]


def test_training_moves_all_weights_and_scales_and_the_seed(quantized):
    model = keras.Model(quantized.input, quantized.output["y"])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    seed = quantized.get_layer("attention").layer
    seeds = [one for one in seed.variables if "seed" in one.path]
    before = [numpy(one.value).copy() for one in (*model.trainable_variables, *seeds)]
    model.train_on_batch(IDS, np.ones((2, 2), "float32"))
    assert seeds
    still = [
        one.path
        for one, old in zip((*model.trainable_variables, *seeds), before, strict=True)
        if np.all(numpy(one.value) == old)
    ]
    # The bias of a key changes no softmax. On torch, dropout takes its seeds elsewhere.
    known = ("key/bias", "seed" if keras.backend.backend() == "torch" else "key/bias")
    assert all(any(one in path for one in known) for path in still), still


def test_files_load_in_a_fresh_process_to_the_same_outputs(quantized, tmp_path):
    quantized.save(tmp_path / "model.keras")
    quantized.save_weights(tmp_path / "model.weights.h5")
    expected = outputs_of(quantized)
    module = "tests.compress.quantization.many_layers"
    subprocess.run(
        [sys.executable, "-m", module, str(tmp_path)],
        check=True,
        cwd=ROOT,
        env={**os.environ, "KERAS_BACKEND": keras.backend.backend()},
    )
    for name in ("model", "weights"):
        np.testing.assert_allclose(np.load(tmp_path / f"{name}.npy"), expected, rtol=1e-6)


def test_a_layer_of_layers_takes_its_own_arguments():
    block = Block()
    wrapper = kc.layers.QuantizeAware(block)
    x = np.ones((1, 4), "float32")
    found = wrapper(x, skip=2 * x, flip=True)
    np.testing.assert_allclose(numpy(found), numpy(block(x, skip=2 * x, flip=True)), rtol=1e-6)
    with pytest.raises(TypeError, match="other"):
        wrapper(x, other=3)


def test_masks_and_states_reach_recurrent_layers():
    make = {"kernel_initializer": Drawn(), "recurrent_initializer": Drawn(), "unroll": True}
    lstm = layers.LSTM(4, return_state=True, **make)
    wrapper = kc.layers.QuantizeAware(lstm)
    x, mask = normal(2, 3, 4), np.array([[True, False, True], [True, True, False]])
    states = [normal(2, 4, seed=1), normal(2, 4, seed=2)]
    from_keras = wrapper(with_keras_mask(x, mask))
    given = wrapper(x, initial_state=states, mask=mask)
    for found, expected in (
        (from_keras, lstm(x, mask=mask)),
        (given, lstm(x, initial_state=states, mask=mask)),
    ):
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(numpy(one), numpy(other), rtol=1e-6)
    assert np.any(np.abs(numpy(from_keras[0]) - numpy(wrapper(x)[0])) > 1e-3)
    assert np.any(np.abs(numpy(from_keras[0]) - numpy(given[0])) > 1e-3)


def test_what_is_inside_is_reported():
    class Own(layers.Layer):
        def build(self, input_shape):
            self.table = self.add_weight(shape=(4, 4), name="table")
            self.dense = layers.Dense(4, kernel_initializer="ones")
            self.dense.build(input_shape)
            self.first = layers.Dense(4, kernel_initializer="ones")
            self.first.build(input_shape)

        def call(self, inputs):
            return self.first(self.dense(inputs)) @ self.table

    own = Own(name="own")
    model = keras.Sequential([keras.Input((4,)), kc.layers.QuantizeAware(
        own, weight={"dense/kernel": kc.quantizers.LSQQuantizer(4)}
    )])  # fmt: skip
    skipped = kc.quantization.quantization_summary(model).skipped
    assert skipped["own/first/kernel"] == "left float: not selected"
    with pytest.raises(ValueError, match="no \\['nothing'\\]"):
        kc.layers.QuantizeAware(own, weight={"nothing": kc.quantizers.LSQQuantizer(4)}).build(
            (None, 4)
        )
