"""What the files of `save_packed` and `load_packed` have in common."""

KIND = "keras_compress.packed_model"
VERSION = 1
