"""Damaged, hostile and inconsistent files are refused before anything changes."""

import copy

import keras
import numpy as np
import pytest
from keras import layers

import keras_compress as kc
from keras_compress.export.sparse_format import KIND
from keras_reweight.core.files import load_arrays, save_arrays
from tests.compress.export.models import assert_same_bits, fill, mixed

# What the weights of `mixed` are stored as, by index.
GAPS, DENSE, BITMASK = 6, 1, 0


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    path = tmp_path_factory.mktemp("sparse") / "model"
    kc.export.save_sparse(mixed(), path)
    arrays, header = load_arrays(path, kind=KIND)
    return arrays, {key: header[key] for key in ("version", "model", "weights")}


def record(index, **fields):
    return lambda arrays, header: header["weights"][index].update(fields)


def array(name, value):
    return lambda arrays, header: arrays.update({name: value})


def replaced(name, change):
    return lambda arrays, header: arrays.update({name: change(arrays[name])})


CHANGES = {
    "version 2 is unknown": lambda arrays, header: header.update(version=2),
    "`weights` is not a list": lambda arrays, header: header.update(weights=3),
    "codec 'zip' is unknown": record(DENSE, codec="zip"),
    "codec .* is unknown": record(DENSE, codec=["dense"]),
    "dtype 'object' is unknown": record(DENSE, dtype="object"),
    "dtype None is unknown": record(DENSE, dtype=None),
    "shape .-1. is no list of sizes": record(DENSE, shape=[-1]),
    "shape None is no list": record(DENSE, shape=None),
    "is not of 3072 bits": record(BITMASK, shape=[64, 48]),
    "values are float32 of shape .16,.": record(DENSE, shape=[17]),
    "array '1.values' is missing": lambda arrays, header: arrays.pop("1.values"),
    "belong to no weight": array("99.values", np.zeros(1)),
    "values are int32": replaced("0.values", lambda values: values.view("int32")),
    "values are float32 of shape .3,.": array("0.values", np.zeros(3, "float32")),
    "a mask of float32": replaced("0.mask", lambda mask: mask.astype("float32")),
    "bits must be an integer in range.2, 9., got 9": record(GAPS, bits=9),
    "bits must be an integer .* got True": record(GAPS, bits=True),
    "num_codes must be .* got -1": record(GAPS, num_codes=-1),
    "codes of shape .* are not 1000000000000 of": record(GAPS, num_codes=10**12),
    "the weight ends at 16": record(GAPS, shape=[16]),
    # A zero takes no room in a file, so a small one can promise any number of them.
    "the file has ..1000000, 1000000., 'float32'": record(GAPS, shape=[10**6, 10**6]),
    "the file has ..1000000000000,., 'float32'": record(-1, shape=[10**12], codec="zeros"),
    "`model` cannot be restored": lambda arrays, header: header["model"].update(module="os"),
    "describes a Dense": lambda arrays, header: header.update(
        model=keras.saving.serialize_keras_object(layers.Dense(3))
    ),
}


@pytest.mark.parametrize("message", CHANGES)
def test_inconsistent_files_are_refused(message, content, tmp_path):
    arrays, header = copy.deepcopy(content)
    codecs = [one["codec"] for one in header["weights"]]
    assert (codecs[GAPS], codecs[DENSE], codecs[BITMASK]) == ("gaps", "dense", "bitmask")
    if "10**12" in message or "1000000000000," in message:
        arrays.pop(f"{len(codecs) - 1}.values")
    CHANGES[message](arrays, header)
    save_arrays(tmp_path / "model.bin", arrays, kind=KIND, header=header)
    with pytest.raises(ValueError, match=message) as caught:
        kc.export.load_sparse(tmp_path / "model.bin")
    assert "model.bin" in str(caught.value)


def test_a_model_that_does_not_fit_is_left_alone(content, tmp_path):
    arrays, header = content
    save_arrays(tmp_path / "model", arrays, kind=KIND, header=header)
    other = keras.Sequential([keras.Input((64,)), layers.Dense(16, kernel_initializer="zeros")])
    with pytest.raises(
        ValueError, match=f"{len(header['weights'])} weights for a model that has 2"
    ):
        kc.export.load_sparse(tmp_path / "model", model=other)
    half = mixed("float16")
    before = half.get_weights()
    with pytest.raises(ValueError, match="'float16'.*the file has .*'float32'"):
        kc.export.load_sparse(tmp_path / "model", model=half)
    for first, second in zip(before, half.get_weights(), strict=True):
        np.testing.assert_array_equal(first, second)


def test_every_changed_byte_and_a_short_file_are_found(content, tmp_path):
    arrays, header = content
    path = tmp_path / "model"
    save_arrays(path, arrays, kind=KIND, header=header)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for position in rng.choice(len(whole), 100, replace=False):
        broken = bytearray(whole)
        broken[position] ^= 1 << int(rng.integers(8))
        path.write_bytes(broken)
        with pytest.raises(ValueError, match="model"):
            kc.export.load_sparse(path)
    path.write_bytes(whole[:-4])
    with pytest.raises(ValueError, match="model"):
        kc.export.load_sparse(path)
    with pytest.raises(FileNotFoundError, match="missing"):
        kc.export.load_sparse(tmp_path / "missing")


def test_a_file_cannot_bring_code_along_but_a_given_model_can(tmp_path):
    def make():
        return keras.Sequential(
            [
                keras.Input((4,)),
                layers.Dense(2, kernel_initializer="zeros"),
                layers.Lambda(lambda x: x * 2.0, output_shape=(2,)),
            ]
        )

    model = fill(make())
    kc.export.save_sparse(model, tmp_path / "model")
    with pytest.raises(ValueError, match="Lambda"):
        kc.export.load_sparse(tmp_path / "model")
    assert_same_bits(kc.export.load_sparse(tmp_path / "model", model=make()), model)


def test_custom_objects(tmp_path):
    class Doubled(layers.Layer):
        def call(self, x):
            return 2.0 * x

    model = keras.Sequential(
        [keras.Input((4,)), layers.Dense(2, kernel_initializer="zeros"), Doubled()]
    )
    kc.export.save_sparse(model, tmp_path / "model")
    with pytest.raises(ValueError, match="cannot be restored"):
        kc.export.load_sparse(tmp_path / "model")
    loaded = kc.export.load_sparse(tmp_path / "model", custom_objects={"Doubled": Doubled})
    assert type(loaded.layers[1]) is Doubled


def test_training_goes_on_with_the_zeros(tmp_path):
    model = keras.Sequential([keras.Input((8,)), layers.Dense(32, kernel_initializer="zeros")])
    kc.export.save_sparse(fill(model, [0.75]), tmp_path / "model")
    loaded = kc.export.load_sparse(tmp_path / "model")
    zeros = loaded.get_weights()[0] == 0
    loaded.compile("sgd", "mse")
    x = np.ones((8, 8), "float32")
    keep = kc.callbacks.KeepSparsity()
    loaded.fit(x, np.ones((8, 32), "float32"), verbose=0, callbacks=[keep])
    np.testing.assert_array_equal(loaded.get_weights()[0] == 0, zeros)
