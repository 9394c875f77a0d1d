"""Sizes by encoding: what the files really take."""

import gzip

import numpy as np

import keras_compress as kc
from keras_compress.export.sparse_format import KIND
from keras_reweight.core.files import load_arrays
from tests.compress.export.models import mixed


def test_sizes_are_those_of_the_arrays_in_the_file(tmp_path):
    model = mixed()
    kc.export.save_sparse(model, tmp_path / "model")
    arrays, header = load_arrays(tmp_path / "model", kind=KIND)
    sizes = kc.export.file_sizes(model)
    assert sizes.sparse_bytes == sum(array.nbytes for array in arrays.values())
    assert [row.encoding for row in sizes.weights] == [one["codec"] for one in header["weights"]]
    raw = b"".join(np.asarray(value).tobytes() for value in model.get_weights())
    assert sizes.num_bytes == len(raw)
    assert sizes.gzip_bytes == len(gzip.compress(raw, compresslevel=6, mtime=0))
    report = kc.sparsity_report(model)
    assert (report.num_bytes, report.gzip_bytes) == (sizes.num_bytes, sizes.gzip_bytes)


def test_compressing_helps_where_zeros_come_in_blocks():
    model = mixed()
    kernel = model.get_layer("first").kernel
    mask = np.random.default_rng(0).random((16, 4)) < 0.5
    kernel.assign(np.where(np.kron(mask, np.ones((4, 4))), np.ones((64, 16)), 0.0))
    sizes = kc.export.file_sizes(model)
    assert sizes.sparse_gzip_bytes < sizes.sparse_bytes < sizes.num_bytes


def test_the_table_names_every_weight():
    model = mixed()
    text = str(kc.export.file_sizes(model))
    lines = text.splitlines()
    assert len(lines) == len(model.weights) + 4
    assert lines[0].startswith(model.weights[0].path) and " bitmask " in lines[0]
    labels = [line[:13].strip() for line in lines[-4:]]
    assert labels == ["raw", "gzip", "sparse", "sparse + gzip"]
