"""Damaged, foreign and inconsistent files are refused with the name of the file."""

import copy

import keras
import numpy as np
import pytest

import keras_compress as kc
from keras_compress.quantization.packed_format import KIND
from keras_reweight.core.files import load_arrays, save_arrays
from tests.compress.quantization.common import dense_model, numpy


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    path = tmp_path_factory.mktemp("packed") / "model"
    kc.quantization.save_packed(kc.quantize_aware(dense_model(), weights=3), path)
    arrays, header = load_arrays(path, kind=KIND)
    return arrays, {key: header[key] for key in ("version", "model", "weights")}


def changed(**fields):
    def change(arrays, header):
        header["weights"][0].update(fields)

    return change


def set_array(name, value):
    def change(arrays, header):
        arrays[name] = value

    return change


CHANGES = {
    "version 2 is unknown": lambda arrays, header: header.update(version=2),
    "`weights` is not a list": lambda arrays, header: header.update(weights={}),
    "1 weights for a model that has 2": lambda arrays, header: (
        header["weights"].pop(),
        arrays.pop("1.values"),
    ),
    "codec 'zip' is unknown": changed(codec="zip"),
    "bits must be an integer from 2 to 8, got 9": changed(bits=9),
    "bits must be an integer from 2 to 8, got True": changed(bits=True),
    "do not hold 32 values of 5 bits": changed(bits=5),
    "do not hold 40 values": changed(shape=[10, 4]),
    "shape .-1, 4. is no list of sizes": changed(shape=[-1, 4]),
    "shape 'big' is no list of sizes": changed(shape="big"),
    "zero point nan is outside": changed(zero_point=float("nan")),
    "zero point None is outside": changed(zero_point=None),
    "array '0.scale' is missing": lambda arrays, header: arrays.pop("0.scale"),
    "'extra'. belong to no weight": set_array("extra", np.zeros(1, "float32")),
    "does not fit .8, 4.": set_array("0.scale", np.ones((1, 3), "float32")),
    "not finite": set_array("0.scale", np.full((1, 4), np.nan, "float32")),
    "uint8 codes of shape .5,.": set_array("0.codes", np.zeros(5, "uint8")),
    "int8 codes": set_array("0.codes", np.zeros(12, "int8")),
    "values are float32 of shape .5,.": set_array("1.values", np.zeros(5, "float32")),
    "values are int32": set_array("1.values", np.zeros(4, "int32")),
    "the file has ..4, 8., 'float32'.": lambda arrays, header: (
        header["weights"][0].update(shape=[4, 8]),
        arrays.update({"0.scale": np.ones((1, 8), "float32")}),
    ),
    "the file has ..8, 4., 'float16'.": changed(dtype="float16"),
    "`model` cannot be restored": lambda arrays, header: header.update(
        model={"class_name": "Nothing", "config": {}, "module": "keras", "registered_name": None}
    ),
    "without an architecture": lambda arrays, header: header.update(model=None),
    "describes a Dense": lambda arrays, header: header.update(
        model=keras.saving.serialize_keras_object(keras.layers.Dense(3))
    ),
}


@pytest.mark.parametrize("message", CHANGES)
def test_inconsistent_files_are_refused(message, content, tmp_path):
    arrays, header = copy.deepcopy(content)
    CHANGES[message](arrays, header)
    save_arrays(tmp_path / "model.bin", arrays, kind=KIND, header=header)
    with pytest.raises(ValueError, match=message) as caught:
        kc.quantization.load_packed(tmp_path / "model.bin")
    assert "model.bin" in str(caught.value)


def test_the_unchanged_content_loads(content, tmp_path):
    arrays, header = content
    save_arrays(tmp_path / "model", arrays, kind=KIND, header=header)
    loaded = kc.quantization.load_packed(tmp_path / "model")
    assert len(np.unique(numpy(loaded.layers[0].kernel.value)[:, 0])) <= 8


def test_other_and_truncated_files_are_refused(content, tmp_path):
    arrays, header = content
    save_arrays(tmp_path / "other", arrays, kind="another", header=header)
    with pytest.raises(ValueError, match="other.*kind 'another'"):
        kc.quantization.load_packed(tmp_path / "other")
    save_arrays(tmp_path / "short", arrays, kind=KIND, header=header)
    whole = (tmp_path / "short").read_bytes()
    (tmp_path / "short").write_bytes(whole[:-4])
    with pytest.raises(ValueError, match="short"):
        kc.quantization.load_packed(tmp_path / "short")
    with pytest.raises(FileNotFoundError, match="missing"):
        kc.quantization.load_packed(tmp_path / "missing")


def test_a_file_cannot_bring_code_along(tmp_path):
    model = keras.Sequential(
        [
            keras.Input((8,)),
            keras.layers.Dense(4),
            keras.layers.Lambda(lambda x: x * 2.0),
        ]
    )
    path = tmp_path / "model"
    kc.quantization.save_packed(kc.quantize_aware(model, weights=4), path)
    with pytest.raises(ValueError, match="Lambda"):
        kc.quantization.load_packed(path)


def test_custom_objects(tmp_path):
    class Doubled(keras.layers.Layer):
        def call(self, x):
            return 2.0 * x

        def compute_output_shape(self, input_shape):
            return input_shape

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4), Doubled()])
    kc.quantization.save_packed(kc.quantize_aware(model, weights=4), tmp_path / "model")
    with pytest.raises(ValueError, match="cannot be restored"):
        kc.quantization.load_packed(tmp_path / "model")
    loaded = kc.quantization.load_packed(tmp_path / "model", custom_objects={"Doubled": Doubled})
    assert type(loaded.layers[1]) is Doubled
