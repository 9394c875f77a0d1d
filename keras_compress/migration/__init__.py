"""Coming from other libraries."""

import pathlib

from keras_compress.migration.load_tfmot_weights import load_tfmot_weights

#: The program to run where TensorFlow Model Optimization is installed.
TFMOT_SCRIPT = pathlib.Path(__file__).with_name("tfmot_script.py")

__all__ = ["TFMOT_SCRIPT", "load_tfmot_weights"]
