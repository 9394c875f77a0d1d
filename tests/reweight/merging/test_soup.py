import numpy as np
import pytest

import keras_reweight as kr
from tests.reweight.merging.ingredients import shared, tuned


def test_is_a_patch_of_its_kinds(tmp_path):
    model = shared()
    soup = kr.merging.uniform_soup(model, tuned(model, 2))
    assert isinstance(soup, kr.Patch) and soup.nbytes == 4 * model.count_params()
    half = 0.5 * soup
    assert isinstance(half, kr.merging.Soup)
    np.testing.assert_array_equal(half.delta(0), 0.5 * soup.delta(0))
    assert (soup + soup).kind == "uniform_soup"
    edit = kr.Patch.from_deltas(model, [(model.weights[0], np.ones((3, 5)))], name="edit")
    edit.save(tmp_path / "edit.safetensors")
    with pytest.raises(ValueError, match="holds a patch of kind 'edit'"):
        kr.merging.Soup.load(tmp_path / "edit.safetensors")


def test_what_was_noted_belongs_to_one_soup():
    model = shared()
    first = kr.merging.uniform_soup(model, tuned(model, 2))
    second = kr.merging.uniform_soup(model, tuned(model, 3))
    assert first.ingredients == (0, 1) and second.ingredients == (0, 1, 2)
    assert kr.merging.Soup.ingredients == () and kr.merging.Soup.coefficients == {}
