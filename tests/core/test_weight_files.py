"""Where Keras has the weights in its files: fails when Keras changes it."""

import h5py
import keras
import numpy as np
import pytest
import safetensors.numpy

from keras_reweight.core.weight_files import WeightFile, save_weights_alone, weight_places
from keras_reweight.signatures.live_weights import read_weights
from tests.reweight.signatures import models


def contents(path, model):
    file = WeightFile(path, model)
    try:
        file.check(range(len(model.weights)))
        return [file.read(index) for index in range(len(model.weights))]
    finally:
        file.close()


def assert_equal(found, model):
    for array, wanted in zip(found, read_weights(model).values(), strict=True):
        assert array.dtype == wanted.dtype
        np.testing.assert_array_equal(array.astype("float64"), wanted.astype("float64"))


@pytest.mark.parametrize("kind", models.KINDS)
def test_every_kind_of_model(kind, tmp_path):
    model = models.build(kind, seed=3)
    model.save_weights(tmp_path / "model.weights.h5")
    # Another model of the same layers, whose names Keras numbers on.
    assert_equal(contents(tmp_path / "model.weights.h5", models.build(kind)), model)


def test_a_whole_model_and_a_compiled_one(tmp_path):
    model = models.regularized(seed=3)
    model.compile("adam", "mse", run_eagerly=True)
    model.optimizer.build(model.trainable_variables)
    other = models.regularized()
    model.save(tmp_path / "model.keras")
    assert_equal(contents(tmp_path / "model.keras", other), model)
    model.save_weights(tmp_path / "full.weights.h5")
    assert_equal(contents(tmp_path / "full.weights.h5", other), model)
    save_weights_alone(model, tmp_path / "new" / "alone.weights.h5")
    assert_equal(contents(tmp_path / "new" / "alone.weights.h5", other), model)
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["alone.weights.h5"]
    names = {}
    for name in ("full", "new/alone"):
        with h5py.File(tmp_path / f"{name}.weights.h5") as file:
            names[name] = "optimizer" in file
    assert names == {"full": True, "new/alone": False}
    other.load_weights(tmp_path / "new" / "alone.weights.h5")
    assert_equal(contents(tmp_path / "new" / "alone.weights.h5", other), other)


def test_safetensors_named_by_paths(tmp_path):
    for name, model in (("functional", models.functional()), ("sequential", models.sequential())):
        path = tmp_path / f"{name}.safetensors"
        arrays = {v.path: keras.ops.convert_to_numpy(v).copy() for v in model.weights}
        safetensors.numpy.save_file(arrays, path)
        assert_equal(contents(path, model), model)
        short = {key.removeprefix(f"{model.name}/"): value for key, value in arrays.items()}
        safetensors.numpy.save_file(short, path)
        assert_equal(contents(path, model), model)


def test_bfloat16(tmp_path):
    model = models.dense(dtype="bfloat16")
    model.save_weights(tmp_path / "model.weights.h5")
    assert_equal(contents(tmp_path / "model.weights.h5", model), model)


def test_other_architectures_are_refused(tmp_path):
    def saved(model):
        model.save_weights(tmp_path / "other.weights.h5")
        return tmp_path / "other.weights.h5"

    model = models.dense()
    with pytest.raises(ValueError, match=r"weight 'sequential[_0-9]*/second/kernel' is \(5, 4\)"):
        contents(saved(models.dense(units=7)), model)
    with pytest.raises(ValueError, match="lacks weight"):
        contents(saved(models.sequential()), models.functional())
    deeper = keras.Sequential([*models.dense().layers, keras.layers.Dense(2)])
    deeper.build((None, 3))
    with pytest.raises(ValueError, match=r"no weights for \['layers/dense_3"):
        contents(saved(deeper), model)


class Converted(keras.layers.Dense):
    """Stores another form of its kernel."""

    def save_own_variables(self, store):
        store["0"] = keras.ops.convert_to_numpy(self.kernel).T
        store["1"] = self.bias


def test_a_layer_with_a_form_of_its_own(tmp_path):
    model = keras.Sequential([keras.Input((3,)), Converted(2, kernel_initializer="zeros")])
    model.save_weights(tmp_path / "model.weights.h5")
    file = WeightFile(tmp_path / "model.weights.h5", model)
    with pytest.raises(ValueError, match="its layer stores it in a form of its own"):
        file.check([0])
    file.check([1])
    file.close()


def test_every_weight_has_a_place_and_nothing_is_stored():
    model = models.regularized()
    places, names = weight_places(model)
    assert {"layers/dense/vars/0", "layers/batch_normalization/vars/3"} <= names
    assert [places[id(v)] for v in model.weights][:2] == [
        ("layers/dense", "0"),
        ("layers/dense", "1"),
    ]


def test_files_that_are_none(tmp_path):
    model = models.dense()
    with pytest.raises(FileNotFoundError, match="missing.keras"):
        WeightFile(tmp_path / "missing.keras", model)
    with pytest.raises(ValueError, match="must end in"):
        WeightFile(tmp_path / "model.npz", model)
    for name in ("a.weights.h5", "a.keras", "a.safetensors"):
        (tmp_path / name).write_bytes(b"no such thing")
        with pytest.raises(ValueError, match=f"{name}' is not a readable weight file"):
            WeightFile(tmp_path / name, model)
    model.save_weights(tmp_path / "cut.weights.h5")
    data = (tmp_path / "cut.weights.h5").read_bytes()
    (tmp_path / "cut.weights.h5").write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match="cut.weights.h5"):
        contents(tmp_path / "cut.weights.h5", model)
