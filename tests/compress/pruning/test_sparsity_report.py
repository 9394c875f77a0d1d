import gzip

import keras
import numpy as np
import pytest

from keras_compress.pruning import prune_magnitude, sparsity_report
from tests.compress.pruning.models import sequential, weights


def test_counts_and_bytes():
    model = sequential()
    prune_magnitude(model, 0.6)
    report = sparsity_report(model)
    assert [row.shape for row in report.variables] == [(6, 10), (10,), (10, 1), (1,)]
    assert [row.zeros for row in report.variables] == [int((w == 0).sum()) for w in weights(model)]
    assert report.sparsity == 42 / 70
    # Fresh biases are zero as well, but nobody prunes them.
    assert report.zeros == 42 + 11
    assert report.num_weights == 81
    assert report.num_bytes == 4 * 81
    raw = b"".join(np.ascontiguousarray(w).tobytes() for w in weights(model))
    assert report.gzip_bytes == len(gzip.compress(raw, compresslevel=6, mtime=0))


def test_table_has_a_row_for_each_weight_and_a_sum():
    lines = str(sparsity_report(sequential())).splitlines()
    assert len(lines) == 5
    assert "dense/kernel" in lines[0] and "0.00%" in lines[0]
    assert "gzip" in lines[-1]


def test_model_without_kernels():
    model = keras.Sequential([keras.Input((3,)), keras.layers.BatchNormalization()])
    report = sparsity_report(model)
    assert report.sparsity == 0.0
    assert report.num_weights == 12
    assert (
        sparsity_report(keras.Sequential([keras.Input((3,)), keras.layers.ReLU()])).num_bytes == 0
    )


def test_bad_arguments():
    with pytest.raises(ValueError, match="not built"):
        sparsity_report(keras.Sequential([keras.layers.Dense(2)]))
    with pytest.raises(TypeError, match="keras.Model"):
        sparsity_report("model")
