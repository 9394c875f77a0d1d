"""Files of compressed models: sparse, in Keras' own quantized layers, and for runtimes."""

from keras_compress.export.file_sizes import FileSizes, file_sizes
from keras_compress.export.load_sparse import load_sparse
from keras_compress.export.save_sparse import save_sparse

__all__ = [
    "FileSizes",
    "file_sizes",
    "load_sparse",
    "save_sparse",
]
