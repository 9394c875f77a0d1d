import keras
import numpy as np
import pytest

import keras_reweight as kr
from keras_reweight.analysis import weight_report
from tests.reweight.signatures import models


def reference(before, after, batch_norm="affine"):
    """Numbers of each layer, from the weights by name."""
    found = {}
    for layer, other in zip(after.layers, before.layers, strict=True):
        pairs = list(zip(layer.weights, other.weights, strict=True))
        if isinstance(layer, keras.layers.BatchNormalization):
            pairs = {"affine": pairs[:2], "statistics": pairs, "skip": []}[batch_norm]
        if not pairs:
            continue
        new, old = (
            np.concatenate([np.asarray(pair[i], "float64").reshape(-1) for pair in pairs])
            for i in (0, 1)
        )
        change = np.linalg.norm(new - old)
        found[layer.name] = {
            "relative": change / np.linalg.norm(old),
            "largest": np.abs(new - old).max(),
            "cosine": new @ old / np.linalg.norm(new) / np.linalg.norm(old),
        }
    return found


def test_every_kind_of_model():
    for kind in models.KINDS:
        before, after = models.build(kind), models.build(kind, seed=1)
        report = weight_report(before, after)
        assert report.total.size == sum(row.size for row in report.layers)
        assert report.share_of_layers(0.0) == 1.0
        total = sum(row.change**2 for row in report.layers)
        assert report.total.change == pytest.approx(np.sqrt(total))


def test_a_snapshot_stands_for_a_model():
    model = models.functional()
    before = kr.WeightSnapshot(model)
    model.get_layer("late").kernel.assign(-np.asarray(model.get_layer("late").kernel))
    report = weight_report(before, model)
    moved = [row.path for row in report.layers if row.change > 0.0]
    assert moved == ["late"]
    assert report.share_of_layers(0.0) == 1 / len(report.layers)
    (late,) = weight_report(before, model, layers="late").layers
    kernel, bias = (np.linalg.norm(np.asarray(w)) for w in model.get_layer("late").weights)
    assert late.relative == pytest.approx(2 * kernel / np.hypot(kernel, bias), rel=1e-6)
    text = str(report).splitlines()
    assert len(text) == len(report.layers) + 2 and text[-1].startswith("all ")


def test_statistics_of_batch_normalization_count_only_when_asked():
    before, after = models.functional(), models.functional()
    after.get_layer("early_norm").moving_mean.assign(np.full(3, 7.0))
    assert weight_report(before, after).total.change == 0.0
    assert weight_report(before, after, batch_norm="statistics").total.change > 1.0


def test_bad_arguments():
    model = models.dense()
    with pytest.raises(ValueError, match="another architecture"):
        weight_report(models.dense(units=5), model)
    with pytest.raises(ValueError, match="batch_norm"):
        weight_report(model, model, batch_norm="all")
    with pytest.raises(ValueError, match="missing"):
        weight_report(model, model, layers="missing")
    with pytest.raises(TypeError, match="threshold"):
        weight_report(model, model).share_of_layers("much")
    broken = models.dense()
    broken.weights[0].assign(np.full((3, 5), np.nan))
    with pytest.raises(ValueError, match="'first'.* not finite"):
        weight_report(model, broken)
