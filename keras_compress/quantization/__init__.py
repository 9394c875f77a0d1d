"""Quantization: quantization-aware layers, freezing and compact files."""

from keras_compress.quantization.freeze import freeze
from keras_compress.quantization.load_packed import load_packed
from keras_compress.quantization.quantization_summary import quantization_summary
from keras_compress.quantization.quantize_aware import quantize_aware
from keras_compress.quantization.save_packed import save_packed
from keras_compress.quantization.size import packed_size
from keras_compress.quantization.summary import QuantizationSummary
from keras_compress.quantization.wrapper import QuantizeAware

__all__ = [
    "QuantizationSummary",
    "QuantizeAware",
    "freeze",
    "load_packed",
    "packed_size",
    "quantization_summary",
    "quantize_aware",
    "save_packed",
]
