"""The comparison of the backends finds planted differences."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from tests import parity, parity_record


@pytest.fixture
def recorded(monkeypatch, tmp_path):
    """An empty recorder that writes to `tmp_path / "jax.npz"`."""
    monkeypatch.setattr(parity_record, "_recorded", {})
    monkeypatch.setenv(parity_record.ENVIRONMENT_VARIABLE, str(tmp_path / "jax.npz"))
    return tmp_path / "jax.npz"


def write_part(path, worker="main", **arrays):
    np.savez(path.with_name(f"{path.name}.{worker}.npz"), **arrays)


def compare_pair(tmp_path, first, second):
    """Exit code of the comparison of two backends that recorded one array each."""
    paths = [tmp_path / "jax.npz", tmp_path / "torch.npz"]
    for path, array in zip(paths, (first, second), strict=True):
        write_part(path, a=array)
    return parity.main([str(path) for path in paths])


def test_records_of_two_workers_are_merged(recorded, monkeypatch):
    parity_record.record("a/x", np.arange(3))
    parity_record.record("a/y", keras.ops.ones((2, 2)))
    first = parity_record.write("gw0")
    monkeypatch.setattr(parity_record, "_recorded", {})
    parity_record.record("b", keras.Variable(2.5))
    second = parity_record.write("gw1")
    assert {first, second} == set(parity.part_files(recorded))
    arrays = parity.load(recorded)
    assert sorted(arrays) == ["a/x", "a/y", "b"]
    np.testing.assert_array_equal(arrays["a/y"], np.ones((2, 2)))
    assert arrays["b"] == np.float32(2.5)
    assert not list(recorded.parent.glob("*.tmp"))


def test_a_recorded_array_is_a_copy(recorded):
    array = np.zeros(2)
    parity_record.record("a", array)
    array[:] = 1.0
    parity_record.write("main")
    np.testing.assert_array_equal(parity.load(recorded)["a"], np.zeros(2))


def test_nothing_is_written_without_arrays_or_without_the_variable(recorded, monkeypatch):
    assert parity_record.write("main") is None
    parity_record.record("a", 1.0)
    monkeypatch.delenv(parity_record.ENVIRONMENT_VARIABLE)
    assert parity_record.write("main") is None
    assert parity.part_files(recorded) == []


@pytest.mark.parametrize("key", ["", "file", 3])
def test_bad_keys_are_refused(recorded, key):
    with pytest.raises(ValueError, match="`key`"):
        parity_record.record(key, 1.0)


def test_a_key_may_be_recorded_once(recorded):
    parity_record.record("a", 1.0)
    with pytest.raises(ValueError, match="recorded already"):
        parity_record.record("a", 1.0)


@pytest.mark.parametrize("array", [np.array(["text"]), np.array([None]), np.array([1j])])
def test_only_numbers_are_recorded(recorded, array):
    with pytest.raises(TypeError, match="dtype"):
        parity_record.record("a", array)


def test_the_same_key_in_two_parts_is_refused(tmp_path):
    write_part(tmp_path / "jax.npz", "gw0", a=np.ones(1))
    write_part(tmp_path / "jax.npz", "gw1", a=np.ones(1))
    with pytest.raises(ValueError, match=r"\['a'\]"):
        parity.load(tmp_path / "jax.npz")


def test_the_files_of_one_backend_do_not_include_another(tmp_path):
    write_part(tmp_path / "jax.npz", a=np.ones(1))
    write_part(tmp_path / "torch.npz", b=np.ones(1))
    assert list(parity.load(tmp_path / "torch.npz")) == ["b"]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (np.array([1.0, 100.0]), np.array([1.0 + 5e-4, 100.0])),
        (np.array([1, 2], "int64"), np.array([1, 2], "int32")),
        (np.array([np.nan, np.inf, 1.0]), np.array([np.nan, np.inf, 1.0])),
        (np.zeros(2), np.zeros(2)),
        (np.zeros((0, 3)), np.zeros((0, 3))),
    ],
)
def test_agreement(tmp_path, capsys, first, second):
    assert compare_pair(tmp_path, first, second) == 0
    assert "all agree" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (np.array([1.0, 100.0]), np.array([1.0 + 5e-3, 100.0]), "5.00e-05"),
        (np.array([1000000]), np.array([1000001]), "1 of 1 integers"),
        (np.array([True, False]), np.array([True, True]), "1 of 2 integers"),
        (np.array([np.nan, 1.0]), np.array([0.0, 1.0]), "NaN or infinity"),
        (np.array([np.inf]), np.array([-np.inf]), "NaN or infinity"),
        (np.zeros(2), np.array([0.0, 1e-30]), "1.00e+00"),
        (np.zeros((2, 1)), np.zeros((1, 2)), "shapes (2, 1) and (1, 2)"),
    ],
)
def test_planted_difference(tmp_path, capsys, first, second, message):
    assert compare_pair(tmp_path, first, second) == 1
    output = capsys.readouterr().out
    assert message in output
    assert "1 differ" in output


def test_every_pair_of_backends_is_compared(tmp_path, capsys):
    paths = [tmp_path / f"{backend}.npz" for backend in ("jax", "tensorflow", "torch")]
    for path, value in zip(paths, (1.0, 1.0, 1.1), strict=True):
        write_part(path, a=np.array([value]), b=np.array([2.0]))
    assert parity.main([str(path) for path in paths]) == 1
    output = capsys.readouterr().out
    assert "jax / torch" in output and "tensorflow / torch" in output
    assert "2 differ" in output


def test_a_key_that_one_backend_lacks_is_a_difference(tmp_path, capsys):
    write_part(tmp_path / "jax.npz", a=np.ones(1), b=np.ones(1))
    write_part(tmp_path / "torch.npz", a=np.ones(1))
    assert parity.main([str(tmp_path / "jax.npz"), str(tmp_path / "torch.npz")]) == 1
    output = capsys.readouterr().out
    assert "not recorded" in output and "torch" in output


def test_nothing_recorded_at_all_is_a_failure(tmp_path, capsys):
    assert parity.main([str(tmp_path / "jax.npz"), str(tmp_path / "torch.npz")]) == 1
    assert "no arrays" in capsys.readouterr().err


def test_one_backend_alone_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        parity.main([str(tmp_path / "jax.npz")])
    assert "at least two" in capsys.readouterr().err
