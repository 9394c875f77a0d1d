"""Damaged, foreign and inconsistent files are refused with the name of the file."""

import base64
import copy
import zlib

import keras
import numpy as np
import pytest

import keras_compress as kc
from keras_compress.quantization.packed_format import KIND
from keras_reweight.core.files import load_arrays, save_arrays
from keras_reweight.core.model_file import expanded_header
from tests.compress.quantization.common import dense_model, normal, numpy


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    path = tmp_path_factory.mktemp("packed") / "model"
    kc.quantization.save_packed(kc.quantize_aware(dense_model(), weights=3), path)
    arrays, header = load_arrays(path, kind=KIND)
    header = expanded_header(header)
    return arrays, {key: header[key] for key in ("version", "model", "weights", "ranges")}


def changed(**fields):
    def change(arrays, header):
        header["weights"][0].update(fields)

    return change


def set_array(name, value):
    def change(arrays, header):
        arrays[name] = value

    return change


CHANGES = {
    "version 3 is unknown": lambda arrays, header: header.update(version=3),
    "compressed header cannot be read": lambda arrays, header: header.update(zlib="####"),
    "header cannot be read: Error -3": lambda arrays, header: header.update(zlib="AAAA"),
    "compressed header cannot be read: .* bytes-like": lambda arrays, header: header.update(zlib=3),
    "holds no JSON object": lambda arrays, header: header.update(
        zlib=base64.b64encode(zlib.compress(b"3")).decode()
    ),
    "or is too long": lambda arrays, header: header.update(
        zlib=base64.b64encode(zlib.compress(b"{}")[:-2]).decode()
    ),
    "`weights` is not a list": lambda arrays, header: header.update(weights={}),
    "1 weights for a model that has 2": lambda arrays, header: (
        header["weights"].pop(),
        arrays.pop("1.values"),
    ),
    "codec 'zip' is unknown": changed(codec="zip"),
    "do not hold 40 values": changed(shape=[10, 4]),
    "`ranges` 3 are no dict": lambda arrays, header: header.update(ranges=3),
    "`ranges` of layer 'dense'": lambda arrays, header: header.update(ranges={"dense": {}}),
    "`ranges` are given for layers .'other'.": lambda arrays, header: header.update(
        ranges={"other": {"bits": 8, "scale": 1.0}}
    ),
    "shape .-1, 4. is no list of sizes": changed(shape=[-1, 4]),
    "shape 'big' is no list of sizes": changed(shape="big"),
    "array '0.grid.scale' is missing": lambda arrays, header: arrays.pop("0.grid.scale"),
    "'extra'. belong to no weight": set_array("extra", np.zeros(1, "float32")),
    "does not fit a matrix": set_array("0.grid.scale", np.ones((1, 3), "float32")),
    "not finite": set_array("0.grid.scale", np.full((1, 4), np.nan, "float32")),
    "uint8 codes of shape .5,.": set_array("0.codes", np.zeros(5, "uint8")),
    "int8 codes": set_array("0.codes", np.zeros(12, "int8")),
    "values are float32 of shape .5,.": set_array("1.values", np.zeros(5, "float32")),
    "values are int32": set_array("1.values", np.zeros(4, "int32")),
    "the file has ..4, 8., 'float32'.": lambda arrays, header: (
        header["weights"][0].update(shape=[4, 8]),
        arrays.update({"0.grid.scale": np.ones((1, 8), "float32")}),
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


def test_files_of_version_1_still_load(content, tmp_path):
    """As version 1 has written them: codes of three bits, a scale for each output."""
    arrays, header = copy.deepcopy(content)
    expected = kc.quantization.load_packed(saved(content, tmp_path))
    arrays["0.scale"] = arrays.pop("0.grid.scale")
    record = header["weights"][0]
    kept = {key: record[key] for key in ("name", "shape", "dtype")}
    header["weights"][0] = kept | {"codec": "affine", "bits": 3, "zero_point": 4.0}
    header["version"] = 1
    del header["ranges"]
    save_arrays(tmp_path / "old", arrays, kind=KIND, header=header)
    loaded = kc.quantization.load_packed(tmp_path / "old")
    for found, wanted in zip(loaded.weights, expected.weights, strict=True):
        np.testing.assert_array_equal(numpy(found.value), numpy(wanted.value))
    (matrix,) = kc.quantization.load_packed(tmp_path / "old", as_="quantized").matrices.values()
    assert matrix.codes.shape == (8, 4) and matrix.channel_axes == (1,) and matrix.bits == 3


def saved(content, folder):
    arrays, header = content
    save_arrays(folder / "new", arrays, kind=KIND, header=header)
    return folder / "new"


def test_quantized_models_come_back_with_codes_and_ranges(tmp_path):
    x = normal(9, 8)
    aware = kc.quantize_aware(dense_model(), weights=4, activations=8, calibration_data=x)
    form = kc.quantization.quantized_form(aware)
    kc.quantization.save_packed(form, tmp_path / "model")
    loaded = kc.quantization.load_packed(tmp_path / "model", as_="quantized")
    assert loaded.ranges == form.ranges and set(loaded.ranges) == {"dense"}
    # Keras names a variable anew where a model is made from its configuration.
    assert set(loaded.matrices) == {loaded.model.layers[0].kernel.path}
    for found, wanted in zip(loaded.matrices.values(), form.matrices.values(), strict=True):
        assert found.values().tobytes() == wanted.values().tobytes()
        np.testing.assert_array_equal(found.codes, wanted.codes)


def test_a_file_without_architecture_fills_a_model(tmp_path):
    aware = kc.quantize_aware(dense_model(), weights=2)
    kc.quantization.save_packed(aware, tmp_path / "model", architecture=False)
    with pytest.raises(ValueError, match="without an architecture"):
        kc.quantization.load_packed(tmp_path / "model")
    model = dense_model()
    assert kc.quantization.load_packed(tmp_path / "model", model=model) is model
    np.testing.assert_array_equal(
        numpy(model.layers[0].kernel), numpy(kc.freeze(aware).layers[0].kernel)
    )


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
