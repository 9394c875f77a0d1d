"""Sparse files: every kind of model bit for bit, as small as its zeros allow, reproducible."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_compress as kc
from keras_compress.export.sparse_format import KIND
from keras_reweight.core.files import load_arrays
from keras_reweight.core.variable_bits import assign_bits, read_bits
from tests.compress.export.models import (
    Subclassed,
    WithoutConfig,
    assert_same_bits,
    fill,
    mixed,
)


def codecs(path):
    return [record["codec"] for record in load_arrays(path, kind=KIND)[1]["weights"]]


def test_nested_models_with_every_encoding(tmp_path):
    model = mixed()
    model.get_layer("tail").layers[0].bias.assign(np.zeros(40))
    path = tmp_path / "folder" / "model.safetensors"
    kc.export.save_sparse(model, path)
    assert set(codecs(path)) == {"bitmask", "dense", "gaps", "zeros"}
    loaded = kc.export.load_sparse(path)
    assert type(loaded) is type(model) and not loaded.compiled
    assert_same_bits(loaded, model)
    x = np.random.default_rng(1).normal(size=(3, 64)).astype("float32")
    found, expected = (keras.ops.convert_to_numpy(one(x)) for one in (loaded, model))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision(dtype, tmp_path):
    model = mixed(dtype)
    kc.export.save_sparse(model, tmp_path / "model")
    loaded = kc.export.load_sparse(tmp_path / "model")
    assert loaded.get_layer("first").kernel.dtype == dtype
    assert_same_bits(loaded, model)


def test_negative_zeros_and_nans_are_values(tmp_path):
    model = mixed()
    kernel = model.get_layer("first").kernel
    bits = read_bits(kernel)
    bits[0, :3] = 1 << 31, 0x7FC00123, 0xFFA00001
    assign_bits(kernel, bits)
    kc.export.save_sparse(model, tmp_path / "model")
    assert codecs(tmp_path / "model")[0] == "bitmask"
    assert_same_bits(kc.export.load_sparse(tmp_path / "model"), model)


def test_subclassed_models(tmp_path):
    model = Subclassed(units=5)
    model(np.zeros((1, 6), "float32"))
    fill(model)
    kc.export.save_sparse(model, tmp_path / "model")
    loaded = kc.export.load_sparse(tmp_path / "model")
    assert type(loaded) is Subclassed and loaded.units == 5
    assert_same_bits(loaded, model)


def test_models_without_a_configuration(tmp_path):
    model = WithoutConfig(layers.Dense(3, kernel_initializer="zeros"))
    model(np.zeros((1, 4), "float32"))
    fill(model)
    with pytest.raises(ValueError, match="save_sparse: .*WithoutConfig.*architecture=False"):
        kc.export.save_sparse(model, tmp_path / "model")
    assert not list(tmp_path.iterdir())
    kc.export.save_sparse(model, tmp_path / "model", architecture=False)
    with pytest.raises(ValueError, match="without an architecture"):
        kc.export.load_sparse(tmp_path / "model")
    other = WithoutConfig(layers.Dense(3, kernel_initializer="zeros"))
    other(np.zeros((1, 4), "float32"))
    assert kc.export.load_sparse(tmp_path / "model", model=other) is other
    assert_same_bits(other, model)


def test_quantized_models(tmp_path):
    """To train on: float weights and scales; and Keras' own integers."""
    model = keras.Sequential([keras.Input((16,)), layers.Dense(32, kernel_initializer="zeros")])
    fill(model)
    aware = kc.quantize_aware(model, weights=4)
    model.layers[0].quantize("int8")
    for index, one in enumerate((aware, model)):
        kc.export.save_sparse(one, tmp_path / str(index))
        assert_same_bits(kc.export.load_sparse(tmp_path / str(index)), one)
    assert "int8" in [one.dtype for one in model.weights]


def own_loss(y_true, y_pred):
    """Not registered with Keras."""
    return keras.ops.mean(y_pred)


def test_what_compile_got_is_left_out(tmp_path):
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(2, kernel_initializer="zeros")])
    model = keras.Sequential([keras.Input((4,)), inner])
    for one in (inner, model):
        one.compile("adam", own_loss)
    kc.export.save_sparse(model, tmp_path / "model")
    assert not kc.export.load_sparse(tmp_path / "model").compiled


def test_size_at_given_sparsities(tmp_path):
    """The shares of the dense size that the documentation promises, and a header."""
    model = keras.Sequential([keras.Input((512,)), layers.Dense(512, kernel_initializer="zeros")])
    dense = 4 * 512 * 513
    for sparsity, share in ((0.5, 0.532), (0.9, 0.117), (0.98, 0.0253)):
        fill(model, [0.0])
        kc.prune_magnitude(model, sparsity)
        kc.export.save_sparse(model, tmp_path / "model")
        size = (tmp_path / "model").stat().st_size
        assert size - 4 * 512 - 4000 < share * dense
        assert 0 < size - kc.export.file_sizes(model).sparse_bytes < 4000


def test_equal_models_give_equal_files(tmp_path):
    model = mixed()
    for name in ("a", "b"):
        kc.export.save_sparse(model, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]
