"""The report of quantized and other layers."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_compress as kc


def quantized():
    z = keras.Input((6,))
    nested = keras.Model(z, layers.Dense(6, name="deep")(z), name="nested")
    inputs = keras.Input((6,), dtype="int32")
    hidden = layers.Embedding(9, 6, name="embedding")(inputs)
    hidden = layers.GlobalAveragePooling1D(name="pool")(hidden)
    model = keras.Model(inputs, layers.Dense(6, name="middle")(nested(hidden)))
    ids = np.arange(18).reshape(3, 6) % 9
    return kc.quantize_aware(
        model, weights={"deep": 3}, activations={"nested/deep": 8}, calibration_data=ids
    )


def test_rows_reasons_and_table(tmp_path):
    model = quantized()
    summary = kc.quantization.quantization_summary(model)
    (row,) = summary.layers
    assert (row.path, row.kind) == ("nested/deep", "Dense")
    assert (row.weight_bits, row.activation_bits) == ({"kernel": 3}, 8)
    assert (row.float_bytes, row.packed_bytes) == (4 * 42, 14 + 4 * 6 + 4 * 6 + 4)
    assert summary.skipped == {
        "embedding": "left float: not selected",
        "pool": "GlobalAveragePooling1D has no weight matrix",
        "middle": "left float: not selected",
    }
    lines = str(summary).splitlines()
    assert lines[1].split() == ["nested/deep", "Dense", "kernel", "int3", "int8", "168", "66"]
    assert lines[2].startswith("total")
    assert "not quantized: embedding: left float: not selected" in lines
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert kc.quantization.quantization_summary(loaded) == summary


def test_containers_are_one_entry():
    inputs = keras.Input((3, 6))
    attention = layers.MultiHeadAttention(1, 2, name="attention", kernel_initializer="ones")
    model = keras.Model(inputs, layers.Dense(2, name="dense")(attention(inputs, inputs)))
    summary = kc.quantization.quantization_summary(
        kc.quantize_aware(model, weights={"dense": 4}, layers="dense")
    )
    assert summary.skipped == {"attention": "left float: not selected"}
    summary = kc.quantization.quantization_summary(
        kc.quantize_aware(model, weights={"attention": 4, "value": 2})
    )
    (row,) = summary.layers
    assert row.weight_bits == {
        "query_dense/kernel": 4,
        "key_dense/kernel": 4,
        "value_dense/kernel": 2,
        "output_dense/kernel": 4,
    }


def test_plain_and_bad_models():
    model = keras.Sequential([keras.Input((3,)), layers.Dense(2, name="dense")])
    summary = kc.quantization.quantization_summary(model)
    assert summary.layers == [] and summary.skipped == {"dense": "left float: not selected"}
    with pytest.raises(TypeError, match="`model`"):
        kc.quantization.quantization_summary(None)
