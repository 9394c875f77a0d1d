import keras
import numpy as np
import pytest
from keras import layers

import keras_compress as kc
from keras_compress.analysis import compression_report


def network():
    model = keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            layers.Conv2D(4, 3, name="conv", kernel_initializer="ones"),
            layers.BatchNormalization(name="norm"),
            layers.Flatten(),
            layers.Dense(5, name="dense", kernel_initializer="ones"),
        ]
    )
    kernel = np.ones((64, 5))
    kernel[:, 1:] = 0.0
    model.get_layer("dense").kernel.assign(kernel)
    return model


def test_counts():
    report = compression_report(network())
    rows = {row.path: row for row in report.layers}
    assert (rows["conv"].macs, rows["conv"].effective_macs) == (16 * 72, 16 * 72)
    assert (rows["dense"].macs, rows["dense"].effective_macs) == (320, 64)
    assert rows["dense"].sparsity == 0.8 and rows["norm"].sparsity == 0.0
    assert rows["dense"].num_nonzero == 64
    assert report.num_parameters == 76 + 16 + 325 and report.num_bytes == 4 * 417
    assert report.num_nonzero == sum(row.num_nonzero for row in report.layers)
    sizes = kc.export.file_sizes(network())
    assert (report.gzip_bytes, report.sparse_bytes) == (sizes.gzip_bytes, sizes.sparse_bytes)
    assert report.latency is None and "dense" in str(report)


def test_against_a_baseline_with_latency():
    baseline = network()
    baseline.get_layer("dense").kernel.assign(np.ones((64, 5)))
    x = np.ones((3, 6, 6, 2), "float32")
    report = compression_report(network(), baseline, data=(x, x))
    found = report.to_dict()
    assert found["effective_macs_ratio"] == (16 * 72 + 320) / (16 * 72 + 64)
    assert found["macs_ratio"] == 1.0
    assert 0.0 < report.latency < 1.0 and found["latency_ratio"] > 0.0
    assert "times less than the baseline" in str(report)
    ax = report.plot()
    assert [bar.get_height() for bar in ax.patches] == [0.0, 0.8]
    with pytest.raises(TypeError, match="`baseline`"):
        compression_report(baseline, "dense")


def test_pictures_of_reports_and_dicts():
    ax = kc.analysis.plot_sparsity(kc.sparsity_report(network()))
    assert [bar.get_height() for bar in ax.patches] == [0.0, 0.8]
    for wrong, error in (({"a": 2.0}, ValueError), ({}, ValueError), ("report", TypeError)):
        with pytest.raises(error, match="`report`"):
            kc.analysis.plot_sparsity(wrong)
