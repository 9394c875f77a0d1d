"""Files: atomic, reproducible, and every defect found on load."""

import numpy as np
import pytest
import safetensors.numpy

from keras_reweight.core import files

ARRAYS = {
    "a": np.arange(6, dtype="float32").reshape(2, 3).T,
    "scalar": np.array(3, "int32"),
    "empty": np.zeros((0, 2)),
}


def save(path, **header):
    files.save_arrays(path, ARRAYS, kind="test/1", header=header)


def test_round_trip_keeps_bytes_shapes_and_header(tmp_path):
    save(tmp_path / "a.bin", note="x")
    arrays, header = files.load_arrays(tmp_path / "a.bin", kind="test/1")
    assert header["note"] == "x"
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], array)
        assert arrays[name].shape == array.shape and arrays[name].dtype == array.dtype


def test_same_content_gives_the_same_file(tmp_path):
    for name in "abcdef":
        save(tmp_path / name, one=1, two=2)
    assert len({(tmp_path / name).read_bytes() for name in "abcdef"}) == 1


def test_every_flipped_byte_is_found(tmp_path):
    path = tmp_path / "a.bin"
    save(path, note="x")
    payload = path.read_bytes()
    for position in range(len(payload)):
        broken = bytearray(payload)
        broken[position] ^= 0x01
        path.write_bytes(broken)
        with pytest.raises(ValueError, match="a.bin"):
            files.load_arrays(path, kind="test/1")


def test_files_are_readable_for_whom_the_umask_says(tmp_path):
    save(tmp_path / "a.bin")
    (tmp_path / "plain").touch()
    assert (tmp_path / "a.bin").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("keep", [0, 4, 8, 60, -1])
def test_truncation_is_found(tmp_path, keep):
    path = tmp_path / "a.bin"
    save(path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match="a.bin"):
        files.load_arrays(path, kind="test/1")


def test_other_kinds_are_refused(tmp_path):
    save(tmp_path / "a.bin")
    with pytest.raises(ValueError, match="'test/1'.*'test/2'"):
        files.load_arrays(tmp_path / "a.bin", kind="test/2")


def test_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")

    def fail(*args):
        raise OSError("disk full")

    monkeypatch.setattr(files.os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        files.write_atomically(path, b"new")
    assert path.read_bytes() == b"old" and [p.name for p in tmp_path.iterdir()] == ["a.bin"]


def test_headers_nested_too_deeply_are_refused(tmp_path):
    metadata = {"header": "[" * 100_000}
    path = tmp_path / "a.bin"
    path.write_bytes(safetensors.numpy.save({"a": np.zeros(1)}, metadata=metadata))
    with pytest.raises(ValueError, match="a.bin.*no valid JSON header"):
        files.load_arrays(path, kind="test/1")
