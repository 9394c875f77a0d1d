"""Files of compressed models: sparse, in Keras' own quantized layers, and for runtimes."""

from keras_compress.export.export_litert import export_litert
from keras_compress.export.export_onnx import export_onnx
from keras_compress.export.file_sizes import FileSizes, file_sizes
from keras_compress.export.keras_conversion import KerasConversion
from keras_compress.export.load_quantized import load_quantized
from keras_compress.export.load_sparse import load_sparse
from keras_compress.export.runtime_export import RuntimeExport
from keras_compress.export.save_quantized import save_quantized
from keras_compress.export.save_sparse import save_sparse
from keras_compress.export.static_quantizer import StaticQuantizer
from keras_compress.export.to_keras_layers import to_keras_layers

__all__ = [
    "FileSizes",
    "KerasConversion",
    "RuntimeExport",
    "StaticQuantizer",
    "export_litert",
    "export_onnx",
    "file_sizes",
    "load_quantized",
    "load_sparse",
    "save_quantized",
    "save_sparse",
    "to_keras_layers",
]
