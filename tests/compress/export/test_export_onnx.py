"""What can be said without ONNX; the evidence runs the files."""

import importlib
import importlib.util

import keras
import pytest

import keras_compress as kc
from tests.compress.export.quantized import dense_model, on_grid


def test_missing_packages_are_named(monkeypatch, tmp_path):
    onnx_file = importlib.import_module("keras_compress.export.onnx_file")

    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(onnx_file.importlib, "import_module", missing)
    with pytest.raises(ImportError, match=r"export_onnx needs onnx.*\[runtimes\]"):
        kc.export.export_onnx(on_grid(dense_model()), tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_without_an_exporter_there_is_another_way(monkeypatch, tmp_path):
    module = importlib.import_module("keras_compress.export.export_onnx")
    monkeypatch.setattr(module, "import_onnx", lambda caller: None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=f"{keras.backend.backend()} backend.*load_packed"):
        kc.export.export_onnx(on_grid(dense_model()), tmp_path / "model.onnx")


def test_bad_arguments(tmp_path):
    with pytest.raises(TypeError, match="four_bits"):
        kc.export.export_onnx(on_grid(dense_model()), tmp_path / "model.onnx", four_bits=4)
    with pytest.raises(TypeError, match="model"):
        kc.export.export_onnx("model", tmp_path / "model.onnx")
    with pytest.raises(ValueError, match="export_onnx: model .* has no QuantizeAware"):
        kc.export.export_onnx(dense_model(), tmp_path / "model.onnx")


def test_the_report_is_a_table():
    text = str(
        kc.export.RuntimeExport("m.onnx", 7, {"a/kernel": "int4"}, ("a",), {"b/kernel": "why"})
    )
    assert "7 bytes" in text and "a/kernel: int4" in text and "b/kernel: why" in text
