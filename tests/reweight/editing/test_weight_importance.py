"""WeightImportance: what it holds, and its file."""

import numpy as np
import pytest

from keras_reweight.editing import WeightImportance
from tests.reweight.editing.test_kronecker_factors import architecture


def make(scale=1.0, **changes):
    rng = np.random.default_rng(0)
    arrays = {i: scale * rng.random(architecture()[i].shape) for i in (0, 2)}
    arguments = {"architecture": architecture(), "arrays": arrays, "kind": "batch"}
    return WeightImportance(**{**arguments, **changes})


def test_values_by_position_and_path():
    importance = make(batch_size=8)
    assert importance.indices == (0, 2)
    assert importance.paths == ("first/kernel", "second/kernel")
    np.testing.assert_array_equal(importance.value("second/kernel"), importance.value(2))
    with pytest.raises(ValueError, match="first/bias"):
        importance.value("first/bias")
    with pytest.raises(ValueError, match="read-only"):
        importance.value(0)[0] = 1.0


def test_a_file_holds_all_of_it_and_damage_is_found(tmp_path):
    path = tmp_path / "importance.safetensors"
    importance = make(batch_size=8)
    importance.save(path)
    again = WeightImportance.load(path)
    assert (again.kind, again.batch_size) == ("batch", 8)
    assert again.architecture == importance.architecture
    np.testing.assert_array_equal(again.value(2), importance.value(2))
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(ValueError, match="changed or damaged"):
        WeightImportance.load(path)


@pytest.mark.parametrize(
    ("arrays", "text"),
    [
        ({0: np.ones((2, 2))}, "does not fit"),
        ({0: -np.ones((3, 5))}, "not negative"),
        ({0: np.full((3, 5), np.nan)}, "finite"),
        ({99: np.ones((3, 5))}, "no floating-point weight 99"),
        ({}, "empty"),
    ],
)
def test_what_is_no_importance_is_refused(arrays, text):
    with pytest.raises(ValueError, match=text):
        make(arrays=arrays)
