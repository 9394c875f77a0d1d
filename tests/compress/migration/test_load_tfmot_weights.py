"""Weights of a model that the real tfmot has pruned, written by `make_tfmot_files.py`."""

import json
import pathlib

import keras
import numpy as np
import pytest
from keras import layers

import keras_compress as kc
from keras_compress.migration.tfmot_script import save_tfmot_weights

HERE = pathlib.Path(__file__).resolve().parent
WEIGHTS = HERE / "tfmot_weights.npz"


def model(rename=lambda name: name, units=5, tail=layers.LSTM):
    recurrent = keras.Sequential([keras.Input((8, 6)), tail(3, name=rename("lstm"))], name="tail")
    return keras.Sequential(
        [
            keras.Input((10, 10, 2)),
            layers.Conv2D(4, 3, name=rename("conv")),
            layers.BatchNormalization(name=rename("norm")),
            layers.DepthwiseConv2D(1, name=rename("depthwise")),
            layers.SeparableConv2D(6, (1, 8), name=rename("separable")),
            layers.Reshape((8, 6)),
            recurrent,
            layers.Dense(units, name=rename("head")),
        ]
    )


@pytest.fixture(scope="module")
def content():
    with np.load(WEIGHTS, allow_pickle=False) as file:
        arrays = dict(file)
    return arrays, json.loads(str(arrays.pop("header")))


def write(path, arrays, header):
    np.savez(path, header=np.array(json.dumps(header)), **arrays)


@pytest.fixture(scope="module")
def filled():
    """Models whose layers have the names of theirs, and other ones, and the report of the first."""
    same, other = model(), model(lambda name: f"my_{name}")
    report = kc.migration.load_tfmot_weights(same, WEIGHTS)
    kc.migration.load_tfmot_weights(other, WEIGHTS)
    return same, other, report


def test_outputs_are_those_of_the_stripped_model(filled):
    with np.load(HERE / "tfmot_outputs.npz", allow_pickle=False) as file:
        x, expected = file["x"], file["y"]
    same, other, _ = filled
    found = keras.ops.convert_to_numpy(same(x))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    for first, second in zip(same.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(first, second)


def test_zeros_are_exact_where_the_last_step_of_tfmot_left_values(filled, content):
    same, _, report = filled
    assert (content[0]["0.0.value"] != 0).all()
    assert len(report.masks) == 5
    for variable in same.weights:
        if variable.path in report.masks:
            mask = report.masks[variable.path]
            np.testing.assert_array_equal(keras.ops.convert_to_numpy(variable.value) != 0, mask)
    assert list(report.skipped) == [same.layers[1].path, same.layers[2].path]
    assert "25.00%" not in str(report) and "75.00% pruned" in str(report)


def test_layers_are_matched_by_name_in_any_order(content, tmp_path):
    arrays, header = content
    order = [5, *range(5)]
    moved = {}
    for key, array in arrays.items():
        layer, _, rest = key.partition(".")
        moved[f"{order.index(int(layer))}.{rest}"] = array
    write(tmp_path / "moved.npz", moved, {**header, "layers": [header["layers"][i] for i in order]})
    found = model()
    kc.migration.load_tfmot_weights(found, tmp_path / "moved.npz")
    np.testing.assert_array_equal(found.layers[-1].bias, arrays["5.1.value"])


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (lambda: model(units=6), "must have shape .3, 6., those of layer 'head' have .3, 5."),
        (lambda: model(tail=layers.GRU), "layer 'lstm' is a LSTM, .* a GRU"),
        (lambda: keras.Sequential([keras.Input((3,)), layers.Dense(5)]), "6 layers with weights"),
    ],
)
def test_models_that_differ_are_refused_unchanged(other, message):
    target = other()
    before = target.get_weights()
    with pytest.raises(ValueError, match=message):
        kc.migration.load_tfmot_weights(target, WEIGHTS)
    for first, second in zip(before, target.get_weights(), strict=True):
        np.testing.assert_array_equal(first, second)


def rename_weight(arrays, header):
    header["layers"][0]["weights"][0]["name"] = "conv/bias:0"


def drop_weight(arrays, header):
    header["layers"][0]["weights"].pop()


CHANGES = {
    "its header is": lambda arrays, header: header.update(format="another"),
    "does not describe layers": lambda arrays, header: header.update(layers=[{"name": 3}]),
    "'conv/bias:0' stands where .*'kernel'": rename_weight,
    "layer 'conv' has 1 weights": drop_weight,
    "the mask of .* is float32": lambda arrays, header: arrays.update(
        {"0.0.mask": arrays["0.0.value"]}
    ),
    "those of layer 'conv' have None": lambda arrays, header: arrays.pop("0.0.value"),
}


@pytest.mark.parametrize("message", CHANGES)
def test_files_that_are_not_right_are_refused(message, content, filled, tmp_path):
    arrays, header = dict(content[0]), json.loads(json.dumps(content[1]))
    CHANGES[message](arrays, header)
    write(tmp_path / "wrong.npz", arrays, header)
    with pytest.raises(ValueError, match=message) as caught:
        kc.migration.load_tfmot_weights(filled[0], tmp_path / "wrong.npz")
    assert "wrong.npz" in str(caught.value)


def test_foreign_files_are_refused(filled, tmp_path):
    (tmp_path / "text.npz").write_text("no archive")
    np.savez(tmp_path / "plain.npz", a=np.zeros(3))
    np.savez(tmp_path / "code.npz", header=np.array([{}], "O"))
    for name in ("text", "plain", "code"):
        with pytest.raises(ValueError, match="no file of the script for tfmot"):
            kc.migration.load_tfmot_weights(filled[0], tmp_path / f"{name}.npz")
    with pytest.raises(FileNotFoundError, match="missing"):
        kc.migration.load_tfmot_weights(filled[0], tmp_path / "missing.npz")


class Weight:
    """What the script sees of a TensorFlow variable."""

    def __init__(self, name, value):
        self.name, self.value = name, np.asarray(value, "float32")

    def numpy(self):
        return self.value


class Layer:
    def __init__(self, name, weights, pruning_vars=None):
        self.name, self.weights = name, weights
        if pruning_vars is not None:
            self.pruning_vars = pruning_vars


def test_the_script_writes_weights_and_masks(tmp_path):
    kernel, bias = Weight("head/kernel:0", np.ones((2, 3))), Weight("head/bias:0", np.zeros(3))
    wrapper = Layer("prune_head", [], [(kernel, Weight("mask:0", np.eye(2, 3)), None)])
    wrapper.layer = type("Dense", (Layer,), {})("head", [kernel, bias])
    outer = Layer("model", [])
    outer.layers = [Layer("relu", []), wrapper]
    save_tfmot_weights(outer, tmp_path / "weights.npz")
    target = keras.Sequential([keras.Input((2,)), layers.Dense(3)])
    kc.migration.load_tfmot_weights(target, tmp_path / "weights.npz")
    np.testing.assert_array_equal(target.get_weights()[0], np.eye(2, 3))


def test_the_path_of_the_script():
    assert kc.migration.TFMOT_SCRIPT.name == "tfmot_script.py"
    assert kc.migration.TFMOT_SCRIPT.is_file()
