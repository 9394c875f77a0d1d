import io
import zipfile

import h5py
import keras
import numpy as np
import pytest
import safetensors.numpy
from keras import layers

from keras_reweight.core.stored_weights import StoredWeights
from keras_reweight.signatures.architecture import Architecture
from keras_reweight.signatures.live_weights import read_weights
from tests.reweight.signatures import models


def build():
    """Layers in layers, names that Keras did not choose, bfloat16, an optimizer with state."""
    inputs = keras.Input((4, 3))
    x = layers.MultiHeadAttention(1, 2, name="attention")(inputs, inputs)
    inner = [keras.Input((4, 3)), models.Dense(3, name="a"), layers.BatchNormalization(name="n")]
    x = keras.Sequential(inner, name="inner")(x)
    x = models.Dense(2, dtype="bfloat16", name="head")(x)
    model = models.randomized(keras.Model(inputs, x), 0)
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)
    return model


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    model = build()
    directory = tmp_path_factory.mktemp("weights")
    paths = [directory / "all.weights.h5", directory / "all.keras"]
    model.save_weights(paths[0])
    model.save(paths[1])
    return model, paths


def test_every_weight_is_found_under_the_names_of_its_layers(saved):
    model, paths = saved
    specs, arrays = list(Architecture.of(model)), read_weights(model)
    for path, kind in zip(paths, ("weights.h5", "keras"), strict=True):
        with StoredWeights(path) as file:
            assert file.kind == kind
            known = {(*weight.owner, weight.number): weight for weight in file.weights}
            counts = {}
            for index, spec in enumerate(specs):
                owner = tuple(spec.path.split("/")[:-1])
                number = counts.setdefault(owner, 0)
                counts[owner] += 1
                weight = known.pop((*owner, number))
                assert (weight.shape, weight.dtype) == (spec.shape, spec.dtype)
                found = file.read(weight)
                assert found.dtype == arrays[index].dtype
                np.testing.assert_array_equal(found, arrays[index])
            assert not known
            assert len(file.others) == len(model.optimizer.variables)


def test_a_rewritten_file_differs_where_it_was_told_to(saved, tmp_path):
    model, paths = saved
    for path in paths:
        before = path.read_bytes()
        target = tmp_path / "other" / path.name
        with StoredWeights(path) as file:
            (head,) = [w for w in file.weights if w.owner == ("head",) and w.number == 0]
            array = file.read(head) + file.read(head)
            file.rewritten(target, {head.key: array})
        assert path.read_bytes() == before
        assert [found.name for found in target.parent.iterdir()] == [path.name]
        other = build()
        if path.suffix == ".keras":
            other = keras.saving.load_model(target)
            kept = [np.asarray(v) for v in other.optimizer.variables]
            assert len(kept) == len(model.optimizer.variables)
        else:
            other.load_weights(target)
        expected = read_weights(model)
        changed = [spec.path for spec in Architecture.of(model)].index("head/kernel")
        expected[changed] = array
        for index, found in read_weights(other).items():
            np.testing.assert_array_equal(found, expected[index])
        target.unlink()


def test_a_failing_rewrite_leaves_nothing(saved, tmp_path):
    _, paths = saved
    for path in paths:
        with StoredWeights(path) as file:
            weight = file.weights[0]
            with pytest.raises(ValueError, match=weight.key):
                file.rewritten(tmp_path / path.name, {weight.key: np.zeros(1)})
            with pytest.raises((KeyError, ValueError), match="nothing"):
                file.rewritten(tmp_path / path.name, {"nothing": np.zeros(1)})
    assert not list(tmp_path.iterdir())


def test_safetensors_names_are_those_of_the_file(tmp_path):
    path = tmp_path / "w.safetensors"
    arrays = {"b": np.arange(3.0), "a": np.ones((2, 2), "float16")}
    path.write_bytes(safetensors.numpy.save(arrays, metadata={"origin": "here"}))
    with StoredWeights(path) as file:
        assert [(w.label, w.shape, w.dtype) for w in file.weights] == [
            ("a", (2, 2), "float16"),
            ("b", (3,), "float64"),
        ]
        file.rewritten(tmp_path / "v.safetensors", {"b": np.arange(3.0) + 1})
    written = safetensors.safe_open(tmp_path / "v.safetensors", "np")
    assert written.metadata() == {"origin": "here"}
    np.testing.assert_array_equal(written.get_tensor("b"), [1.0, 2.0, 3.0])


def test_defects_name_the_file(saved, tmp_path):
    _, paths = saved
    cases = {
        "cut.weights.h5": paths[0].read_bytes()[:200],
        "cut.keras": paths[1].read_bytes()[:200],
        "text.safetensors": b"no weights at all",
        "empty.weights.h5": b"",
    }
    other = io.BytesIO()
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("something", "else")
    cases["other.keras"] = other.getvalue()
    for name, content in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=name):
            StoredWeights(tmp_path / name)
    with pytest.raises(FileNotFoundError, match="missing"):
        StoredWeights(tmp_path / "missing.weights.h5")


def test_links_and_arrays_that_are_not_there_are_refused(tmp_path):
    path = tmp_path / "links.weights.h5"
    with h5py.File(path, "w") as file:
        file.create_group("layers")["dense"] = h5py.ExternalLink("elsewhere.h5", "/")
    with pytest.raises(ValueError, match="link"):
        StoredWeights(path)
    path = tmp_path / "bomb.weights.h5"
    with h5py.File(path, "w") as file:
        own = file.create_group("layers/dense/vars")
        own.create_dataset("0", (2**31,), "float32", chunks=True, fillvalue=1.0)
    with StoredWeights(path) as file, pytest.raises(ValueError, match="is not there"):
        file.read(file.weights[0])
