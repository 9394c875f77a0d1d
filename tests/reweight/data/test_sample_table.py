"""SampleTable: reads and writes by id, checked before the first write, files that are whole."""

import numpy as np
import pytest

import keras_reweight as kr


def make():
    return kr.data.SampleTable(6, {"weight": 1.0, "count": np.zeros(6, "int64")})


def test_gather_and_update():
    table = make()
    table.update(np.array([4, 0, 4]), weight=np.array([2.0, 3.0, 5.0]), count=1)
    np.testing.assert_array_equal(table["weight"], np.float32([3, 1, 1, 1, 5, 1]))
    np.testing.assert_array_equal(table.gather(np.array([4, 1]), "count"), [1, 0])
    assert len(table) == 6 and table.columns == ["weight", "count"] and "loss" not in table


@pytest.mark.parametrize(
    ("ids", "values", "error"),
    [
        (np.array([6]), {"weight": 1.0}, "0..5"),
        (np.array([-1]), {"weight": 1.0}, "-1"),
        (np.array([1, 2]), {"count": 7, "weight": np.ones(3)}, "`weight`"),
    ],
)
def test_nothing_is_written_when_something_is_wrong(ids, values, error):
    table = make()
    with pytest.raises(ValueError, match=error):
        table.update(ids, **values)
    assert (table["count"] == 0).all() and (table["weight"] == 1).all()


def test_unknown_column_and_bad_types():
    with pytest.raises(KeyError, match="'loss'.*weight"):
        make().update(np.array([0]), count=1, loss=2.0)
    with pytest.raises(TypeError, match="`sample_id`"):
        make().gather(np.array([0.0]), "weight")
    with pytest.raises(ValueError, match="`num_samples`.*0"):
        kr.data.SampleTable(0)
    with pytest.raises(ValueError, match="'w'.*\\(6,\\)"):
        kr.data.SampleTable(6, {"w": np.ones(5)})


def test_file_round_trip_is_exact_and_reproducible(tmp_path):
    table = make()
    table.update(np.arange(6), weight=np.random.default_rng(0).normal(size=6))
    table.save(tmp_path / "a.table")
    again = kr.data.SampleTable.load(tmp_path / "a.table")
    for name in table.columns:
        np.testing.assert_array_equal(again[name], table[name])
        assert again[name].dtype == table[name].dtype
    again.save(tmp_path / "b.table")
    assert (tmp_path / "a.table").read_bytes() == (tmp_path / "b.table").read_bytes()


@pytest.mark.parametrize("damage", ["truncate", "flip", "empty", "other"])
def test_damaged_files_are_refused(tmp_path, damage):
    path = tmp_path / "a.table"
    make().save(path)
    payload = bytearray(path.read_bytes())
    if damage == "flip":
        payload[-1] ^= 1
    path.write_bytes(
        {"truncate": payload[:-3], "empty": b"", "other": b"PK\x03\x04"}.get(damage, payload)
    )
    with pytest.raises(ValueError, match="a.table"):
        kr.data.SampleTable.load(path)


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="none.table"):
        kr.data.SampleTable.load(tmp_path / "none.table")
