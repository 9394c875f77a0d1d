"""What changed, layer by layer."""

import keras
import pytest

import keras_compress as kc
from keras_compress.structured import structural_report
from tests.compress.structured import networks


def test_channels_parameters_and_macs():
    model = networks.flattened()
    report = structural_report(model, kc.prune_structured(model, 0.5))
    found = {row.path: (row.channels, row.num_parameters, row.macs) for row in report.layers}
    assert found == {
        "first": ((4, 2), (2 * 9 * 4 + 4, 2 * 9 * 2 + 2), (4 * 9 * 2 * 4, 4 * 9 * 2 * 2)),
        "depthwise": ((4, 2), (4 * 4 + 4, 4 * 2 + 2), (4 * 4 * 4, 4 * 4 * 2)),
        "head": ((2, 2), (16 * 2 + 2, 8 * 2 + 2), (32, 16)),
    }
    assert report.macs == (288 + 64 + 32, 144 + 32 + 16)
    assert report.num_parameters == (model.count_params(), 38 + 10 + 18)
    assert "4 ->" in str(report) and "MACs: 384 -> 192 (50.0%)" in str(report)


def test_layers_of_one_model_alone():
    small = keras.Sequential([keras.Input((5,)), keras.layers.Dense(2, name="other")])
    report = structural_report(networks.dense((4,)), small)
    found = {row.path: row.channels for row in report.layers}
    assert found == {"hidden0": (4, 0), "head": (3, 0), "other": (0, 2)}


def test_wrong_arguments():
    model = networks.dense((4,))
    with pytest.raises(TypeError, match="before"):
        structural_report("model", model)
    with pytest.raises(TypeError, match="after"):
        structural_report(model, None)
