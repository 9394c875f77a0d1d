import io
import json
import pickle
import zipfile

import numpy as np
import pytest
import safetensors.numpy

from keras_reweight.signatures import Patch, SignaturePatcher, patch_file, weight_digest
from tests.reweight.signatures import models


def make(codec="int8", name="noise"):
    model = models.dense()
    rng = np.random.default_rng(0)
    deltas = [(v, rng.normal(size=tuple(v.shape))) for v in model.weights[:2]]
    return Patch.from_deltas(model, deltas, name=name, sources={"clean": "00"}).compress(codec)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("signature") / "noise.sig"
    make().save(path)
    return path.read_bytes()


@pytest.fixture
def refused(tmp_path):
    """Loading these bytes raises `ValueError` naming the file; gives the message."""

    def check(data):
        path = tmp_path / "broken.sig"
        path.write_bytes(data)
        with pytest.raises(ValueError, match="broken.sig' is not a valid signature file") as info:
            Patch.load(path)
        return str(info.value)

    return check


def parts_of(data):
    length = int.from_bytes(data[:8], "little")
    header = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["kr_signature"])
    return header, safetensors.numpy.load(data), 8 + length


def sealed(header, tensors, seal=True):
    """A file whose checksum is right, whatever it says."""
    header = {key: value for key, value in header.items() if key != "sha256" or not seal}
    if seal:
        header["sha256"] = patch_file._seal(header, tensors)
    text = json.dumps(header, sort_keys=True, separators=(",", ":"))
    return safetensors.numpy.save(tensors, metadata={"kr_signature": text})


def test_the_file_is_plain_safetensors_as_documented(data):
    header, tensors, _ = parts_of(data)
    assert header["format"] == "kr-signature/1" and header["name"] == "noise"
    assert header["kind"] == "edit" and header["coefficient"] == 1.0
    assert header["sources"] == {"clean": "00"}
    assert header["model"][0] == ["first/kernel", [3, 5], "float32"]
    assert header["entries"] == [
        {"axis": 1, "codec": "int8", "index": 0},
        {"axis": None, "codec": "float32", "index": 1},
    ]
    assert {name: (a.dtype.name, a.shape) for name, a in tensors.items()} == {
        "0000.q": ("int8", (3, 5)),
        "0000.s": ("float32", (5,)),
        "0001.d": ("float32", (5,)),
    }
    assert sealed(header, tensors) == data


def refused_bytes(data):
    with pytest.raises((ValueError, RecursionError)):
        patch_file.from_bytes(data)


def test_truncated_at_any_byte(data, refused):
    refused(data[:-1])
    for length in range(len(data)):
        refused_bytes(data[:length])


def test_longer_than_it_says(data, refused):
    refused(data + b"\0")
    refused(data + data)


def test_flipped_at_any_byte(data, refused):
    """Every byte with one bit and with all bits flipped, and a model that nothing reaches."""
    model = models.dense()
    before, patcher = weight_digest(model), SignaturePatcher(model)
    rng = np.random.default_rng(0)
    for position in range(len(data)):
        for value in (data[position] ^ (1 << rng.integers(8)), data[position] ^ 0xFF):
            refused_bytes(data[:position] + bytes([value]) + data[position + 1 :])
    refused(data[:-1] + bytes([data[-1] ^ 0x80]))
    assert weight_digest(model) == before and patcher.active == {}
    patcher.apply(make())
    assert weight_digest(model) != before


def test_changed_padding_is_found(data, refused):
    _, _, start = parts_of(data)
    assert data[start - 1 : start] == b" "
    refused(data[: start - 1] + b"\t" + data[start:])


def test_flipped_data_names_the_checksum(data, refused):
    broken = data[:-1] + bytes([data[-1] ^ 1])
    assert "its checksum does not match: it was changed or damaged" in refused(broken)


@pytest.mark.parametrize(
    ("field", "value"),
    (
        ("coefficient", 2.0),
        ("name", "blur"),
        ("kind", "rws"),
        ("sources", {}),
        ("model", [["first/kernel", [3, 5], "float16"]]),
    ),
)
def test_a_changed_header_names_the_checksum(data, refused, field, value):
    header, tensors, _ = parts_of(data)
    assert "checksum" in refused(sealed({**header, field: value}, tensors, seal=False))


BAD_HEADERS = (
    ("format", "kr-signature/2", "its format is 'kr-signature/2'; this version reads"),
    ("format", None, "its format is None"),
    ("name", "", "'name' is not a string with content"),
    ("name", 3, "'name' is not a string with content"),
    ("kind", ["rws"], "'kind' is not a string with content"),
    ("coefficient", 1, "'coefficient' is no finite number: 1"),
    ("coefficient", True, "'coefficient' is no finite number: True"),
    ("coefficient", "1", "'coefficient' is no finite number"),
    ("sources", [], "'sources' is not an object"),
    ("sources", {"clean": 1}, "'sources' is not an object"),
    ("model", {}, "'model' is not a list"),
    ("model", [["first/kernel", [3, -5], "float32"]], "'model' needs"),
    ("model", [["first/kernel", [3.0, 5], "float32"]], "'model' needs"),
    ("model", [["first/kernel", "35", "float32"]], "'model' needs"),
    ("model", [["first/kernel", [3, 5]]], "'model' needs"),
    ("model", [], "entry index 0 is not one of 0 weights"),
    ("model", [["first/kernel", [5, 3], "float32"]], r"'q' must be int8 of shape (5, 3)"),
    ("model", [["first/kernel", [3, 5], "int32"]], "entry 0 changes a weight of dtype int32"),
    ("entries", [], "'entries' is not a list with content"),
    ("entries", {"0": 1}, "'entries' is not a list with content"),
    ("entries", [{"index": 0}], "an entry needs index, codec and axis"),
    ("entries", [7], "an entry needs index, codec and axis"),
    ("entries", [{"index": "0", "codec": "int8", "axis": 1}], "entry index '0'"),
    ("entries", [{"index": True, "codec": "int8", "axis": 1}], "entry index True"),
    ("entries", [{"index": -1, "codec": "int8", "axis": 1}], "entry index -1"),
    ("entries", [{"index": 0, "codec": "int8", "axis": 1}] * 2, "not ascending at 0"),
    ("entries", [{"index": 0, "codec": "zip", "axis": 1}], "entry 0: unknown codec 'zip'"),
    ("entries", [{"index": 0, "codec": "int8", "axis": 1}], "belong to no entry: ['0001']"),
    ("entries", [{"index": 1, "codec": "float32", "axis": None}], "belong to no entry: ['0000']"),
    ("entries", [{"index": 2, "codec": "float32", "axis": None}], "entry 2: codec 'float32' has"),
)


@pytest.mark.parametrize(("field", "value", "defect"), BAD_HEADERS)
def test_a_sealed_file_with_a_bad_header(data, refused, field, value, defect):
    header, tensors, _ = parts_of(data)
    assert defect in refused(sealed({**header, field: value}, tensors))


def test_missing_and_unknown_fields(data, refused):
    header, tensors, _ = parts_of(data)
    for changed in (
        {key: value for key, value in header.items() if key != "name"},
        {**header, "extra": 1},
    ):
        assert "its header needs the fields" in refused(sealed(changed, tensors))
    unsealed = {key: value for key, value in header.items() if key != "sha256"}
    assert "its header needs the fields" in refused(sealed(unsealed, tensors, seal=False))


@pytest.mark.parametrize(
    ("name", "tensor", "defect"),
    (
        ("0001.d", None, "has parts ['d'], found []"),
        ("0000.s", None, "has parts ['q', 's'], found ['q']"),
        ("0009.d", np.ones(5, "float32"), "belong to no entry: ['0009']"),
        ("0000.x", np.ones(5, "float32"), "found ['q', 's', 'x']"),
        ("stray", np.ones(5, "float32"), "belong to no entry: ['stray']"),
        ("0001.d", np.ones(6, "float32"), "of shape (5,), found float32 of shape (6,)"),
        ("0001.d", np.ones(5, "float64"), "must be float32"),
        ("0001.d", np.ones(5, "float16"), "must be float32"),
        ("0001.d", np.ones(5, "int16"), "tensor '0001.d' has dtype 'I16'"),
        ("0001.d", np.full(5, np.inf, "float32"), "not finite"),
        ("0000.q", np.full((3, 5), -128, "int8"), "outside -127..127"),
        ("0000.q", np.ones((5, 3), "int8"), "of shape (3, 5)"),
        ("0000.s", np.zeros(5, "float32"), "not positive"),
        ("0000.s", np.full(5, np.nan, "float32"), "not finite"),
    ),
)
def test_a_sealed_file_with_bad_tensors(data, refused, name, tensor, defect):
    header, tensors, _ = parts_of(data)
    tensors[name] = tensor
    tensors = {key: value for key, value in tensors.items() if value is not None}
    assert defect in refused(sealed(header, tensors))


def with_metadata(tensors, metadata):
    return safetensors.numpy.save(tensors, metadata=metadata)


def test_other_metadata(data, refused):
    header, tensors, _ = parts_of(data)
    text = json.dumps(header, sort_keys=True, separators=(",", ":"))
    key = "kr_signature"
    assert "single metadata key" in refused(with_metadata(tensors, None))
    assert "single metadata key" in refused(with_metadata(tensors, {"other": text}))
    assert "single metadata key" in refused(with_metadata(tensors, {key: text, "more": ""}))
    assert "not valid JSON" in refused(with_metadata(tensors, {key: text[:-1]}))
    assert "its format is None" in refused(with_metadata(tensors, {key: "[]"}))
    assert "canonical" in refused(with_metadata(tensors, {key: json.dumps(header)}))
    twice = text.replace('"name":', '"kind":"edit","name":')
    assert "names a key twice" in refused(with_metadata(tensors, {key: twice}))
    infinite = text.replace('"coefficient":1.0', '"coefficient":Infinity')
    assert "holds Infinity" in refused(with_metadata(tensors, {key: infinite}))
    refused(with_metadata(tensors, {key: "[" * 100_000}))


def raw(header, body=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


def test_files_that_are_no_safetensors(refused):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("model.json", "{}" * 100)
    assert "zip or pickle" in refused(archive.getvalue())
    assert "zip or pickle" in refused(pickle.dumps({"first/kernel": np.ones((3, 5))}))
    arrays = io.BytesIO()
    np.savez(arrays, kernel=np.ones(3))
    assert "zip or pickle" in refused(arrays.getvalue())
    refused(b"")
    refused(b"not a signature, but a text that is somewhat longer")
    assert "not UTF-8" in refused(raw(b"\xff\xfe"))
    assert "not valid JSON" in refused(raw(b"{"))
    assert "not an object" in refused(raw([1]))
    assert "single metadata key" in refused(raw({}))
    assert "single metadata key" in refused(raw({"__metadata__": "text"}))
    assert "is not a string" in refused(raw({"__metadata__": {"kr_signature": 3}}))


def test_tensor_tables_that_do_not_match_the_bytes(data, refused):
    length = int.from_bytes(data[:8], "little")
    table, body = json.loads(data[8 : 8 + length]), data[8 + length :]
    assert raw(table, body) != data
    for change in (
        {"0001.d": {**table["0001.d"], "data_offsets": [0, 20]}},
        {"0001.d": {**table["0001.d"], "shape": [2**40]}},
        {"0001.d": {**table["0001.d"], "shape": [-5]}},
        {"0001.d": {"dtype": "F32"}},
        {"0001.d": 3},
    ):
        refused(raw({**table, **change}, body))


def test_a_missing_file_is_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        Patch.load(tmp_path / "none.sig")
