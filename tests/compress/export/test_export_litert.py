"""What can be said without the converter; the evidence runs the files."""

import keras
import pytest

import keras_compress as kc
from keras_compress.export.export_litert import _changes
from tests.compress.export.quantized import ROUNDED, dense_model, fill, on_grid, token_model


def test_tensorflow_converts_and_others_are_told_where_to_go(tmp_path):
    with pytest.raises(ValueError, match="'.tflite'"):
        kc.export.export_litert(on_grid(dense_model()), tmp_path / "model.lite")
    if keras.backend.backend() == "tensorflow":
        check_conversion(tmp_path / "folder" / "model.tflite")
        return
    with pytest.raises(ValueError, match="export_litert: .*load_packed.*KERAS_BACKEND=tensorflow"):
        kc.export.export_litert(on_grid(dense_model()), tmp_path / "model.tflite")
    assert not list(tmp_path.iterdir())


def check_conversion(path):
    """Codes are in the file where the result of a layer is rounded, too."""
    zeros = {"kernel_initializer": "zeros"}
    stack = [
        keras.layers.Dense(9, name="first", **zeros),
        keras.layers.Dense(4, name="last", **zeros),
    ]
    model = fill(keras.Sequential([keras.Input((8,)), *stack]))
    quantized = on_grid(model, ranges={"first": ROUNDED, "last": ROUNDED})
    report = kc.export.export_litert(quantized, path)
    first, last = (layer.kernel.path for layer in model.layers)
    assert report.weights == {first: "int8"} and report.inputs == ("first", "last")
    assert "floats" in report.left_float[last]
    assert path.stat().st_size == report.num_bytes
    # The layers are as they were.
    assert "call" not in vars(model.layers[0])


def test_what_becomes_of_every_weight():
    quantized = on_grid(token_model(), ranges={"heads": ROUNDED, "conv": ROUNDED})
    forms, inputs, left, changes = _changes(quantized)
    assert inputs == ("heads", "conv")
    assert [path.split("/")[-2] for path in forms] == ["heads"]
    reasons = {path.split("/")[-2]: reason for path, reason in left.items()}
    assert reasons["head"] == reasons["merged"] == "its input has no range"
    assert "Embedding" in reasons["table"] and "Conv1D" in reasons["conv"]
    # The weight is replaced before its input is rounded.
    assert [layer.name for layer, _, _ in changes] == ["heads", "heads", "conv"]
