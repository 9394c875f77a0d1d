"""The command line, called in this process."""

from __future__ import annotations

import importlib
import tomllib
from pathlib import Path

import keras
import numpy as np
import pytest
import safetensors.numpy

import keras_reweight as kr
from keras_reweight.cli import main
from keras_reweight.core.files import save_arrays
from keras_reweight.signatures.live_weights import read_weights
from tests.reweight.signatures import models

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Weights in three kinds of file, and a signature that knows where it comes from."""
    folder = tmp_path_factory.mktemp("files")
    model, robust = models.regularized(), models.regularized(seed=1)
    model.save_weights(folder / "clean.weights.h5")
    model.save(folder / "clean.keras")
    paths = [spec.path for spec in kr.WeightSnapshot(model).architecture]
    arrays = dict(zip(paths, read_weights(model).values(), strict=True))
    (folder / "clean.safetensors").write_bytes(safetensors.numpy.save(arrays))
    signature = kr.WeightSignature.extract(
        clean=model, robust=robust, layers=kr.shallow(1), name="noise", batch_norm="skip"
    )
    signature.save(folder / "noise.safetensors")
    return folder, model, signature


def run(capsys, *arguments):
    code = main([str(argument) for argument in ("sig", *arguments)])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def refused(capsys, *arguments):
    """The message of a command that cannot be carried out."""
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert err.startswith(f"keras-reweight sig {arguments[0]}: ")
    return err


def test_inspect_a_signature(files, capsys):
    folder, model, signature = files
    code, out, err = run(capsys, "inspect", folder / "noise.safetensors")
    assert (code, err) == (0, "")
    lines = {line.split("  ")[0]: line.split() for line in out.splitlines()}
    assert lines["name"][-1] == "noise"
    assert lines["kind"][-1] == "difference"
    assert lines["sha256"][-1] == signature.digest()
    assert set(signature.paths) == {"first/kernel", "first/bias"} <= set(lines)
    delta = signature.delta("first/kernel")
    row = lines["first/kernel"]
    assert row[1:4] == ["3x5", "float32", "float64"]
    found = [float(value) for value in row[4:]]
    expected = [np.linalg.norm(delta), np.sqrt(np.mean(delta**2)), np.abs(delta).max()]
    np.testing.assert_allclose(found, expected, rtol=1e-3)


def test_inspect_weights(files, capsys):
    folder, model, _ = files
    for name, kernel in (
        ("clean.weights.h5", "first/0"),
        ("clean.keras", "first/0"),
        ("clean.safetensors", "first/kernel"),
    ):
        code, out, _ = run(capsys, "inspect", folder / name)
        row = next(line.split() for line in out.splitlines() if line.startswith(kernel))
        value = np.asarray(model.get_layer("first").kernel, "float64")
        assert row[1:4] == ["3x5", "float32", "15"]
        assert float(row[4]) == pytest.approx(np.linalg.norm(value), rel=1e-3)
        assert code == 0 and f"{model.count_params():,} numbers" in out


@pytest.mark.parametrize("name", ["clean.weights.h5", "clean.keras", "clean.safetensors"])
def test_apply_gives_what_a_patcher_gives(files, capsys, tmp_path, name):
    folder, model, signature = files
    source, target = folder / name, tmp_path / f"new{name.removeprefix('clean')}"
    before = source.read_bytes()
    code, out, _ = run(
        capsys, "apply", folder / "noise.safetensors", source, "-o", target, "--alpha", "0.5"
    )
    assert code == 0 and "first/kernel" in out
    assert source.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [target.name]
    with signature.patched(model, 0.5):
        expected = read_weights(model)
    if name.endswith(".keras"):
        found = list(read_weights(keras.saving.load_model(target)).values())
    elif name.endswith(".h5"):
        other = models.regularized(seed=2)
        other.load_weights(target)
        found = list(read_weights(other).values())
    else:
        arrays = safetensors.numpy.load_file(target)
        found = [arrays[spec.path] for spec in kr.WeightSnapshot(model).architecture]
    for array, other in zip(found, expected.values(), strict=True):
        np.testing.assert_array_equal(array, other)
    code, _, _ = run(capsys, "diff", source, target, "--exit-code")
    assert code == 1


def test_apply_refuses_and_leaves_everything_as_it_was(files, capsys, tmp_path):
    folder, model, _ = files
    signature, weights = folder / "noise.safetensors", folder / "clean.weights.h5"
    there = tmp_path / "there.weights.h5"
    there.write_bytes(b"kept")
    new = tmp_path / "new.weights.h5"
    cases = {
        "exists": (signature, weights, "-o", there),
        "must end in": (signature, weights, "-o", tmp_path / "new.keras"),
        "--alpha must be finite": (signature, weights, "-o", new, "--alpha", "nan"),
        "overflow": (signature, weights, "-o", new, "--alpha", "1e300"),
        "no signature": (weights, weights, "-o", new),
        "is a signature": (signature, signature, "-o", tmp_path / "new.safetensors"),
        "No such file": (tmp_path / "missing", weights, "-o", new),
        "No such file or directory": (signature, tmp_path / "missing", "-o", new),
    }
    for words, arguments in cases.items():
        assert words in refused(capsys, "apply", *arguments)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {there.name: b"kept"}
    code, _, _ = run(capsys, "apply", signature, weights, "-o", there, "--force")
    assert code == 0 and there.read_bytes() != b"kept"


def test_apply_guesses_nothing(files, capsys, tmp_path):
    folder, _, _ = files
    dense = keras.layers.Dense
    others = {
        "no layer 'first'": [dense(5, name="other"), dense(2, name="head")],
        "has shape (3, 4)": [dense(4, name="first"), dense(2, name="head")],
        "has 1 arrays": [dense(5, use_bias=False, name="first"), dense(2, name="head")],
        "dtype bfloat16": [dense(5, dtype="bfloat16", name="first"), dense(2, name="head")],
    }
    for number, (words, layers) in enumerate(others.items()):
        normalization = keras.layers.BatchNormalization(name="norm")
        model = keras.Sequential([keras.Input((3,)), layers[0], normalization, layers[1]])
        path = tmp_path / f"{number}.weights.h5"
        model.save_weights(path)
        arguments = (folder / "noise.safetensors", path, "-o", tmp_path / "new.weights.h5")
        assert words in refused(capsys, "apply", *arguments)
    assert not (tmp_path / "new.weights.h5").exists()


def test_diff_of_weights(files, capsys, tmp_path):
    folder, model, _ = files
    before, after = folder / "clean.weights.h5", tmp_path / "other.weights.h5"
    models.regularized(seed=1).save_weights(after)
    code, out, err = run(capsys, "diff", before, after)
    assert (code, err) == (0, "")
    row = next(line.split() for line in out.splitlines() if line.startswith("first/0"))
    one, two = (
        np.asarray(models.regularized(seed=seed).get_layer("first").kernel) for seed in (0, 1)
    )
    expected = np.linalg.norm(two - one) / np.linalg.norm(one)
    assert float(row[2]) == pytest.approx(expected, rel=1e-3)
    assert row[-1] == "100.0%"
    code, out, _ = run(capsys, "diff", before, before, "--exit-code")
    assert code == 0 and "8 of 8 weights are the same" in out


def test_diff_of_signatures_and_of_other_things(files, capsys, tmp_path):
    folder, model, signature = files
    other = tmp_path / "other.safetensors"
    kr.Patch.from_deltas(model, [(model.weights[0], 2.0 * signature.delta(0))], name="double").save(
        other
    )
    code, out, _ = run(capsys, "diff", folder / "noise.safetensors", other, "--exit-code")
    assert code == 1
    rows = {line.split()[0]: line.split() for line in out.splitlines() if line}
    assert rows["first/kernel"][2] == "1" and rows["first/kernel"][4] == "1.000000"
    assert "only" in rows["first/bias"]
    assert "is weights" in refused(capsys, "diff", other, folder / "clean.weights.h5")
    stranger = tmp_path / "stranger.safetensors"
    strange = models.dense()
    kr.Patch.from_deltas(strange, [(strange.weights[0], np.ones((3, 5)))], name="x").save(stranger)
    assert "another architecture" in refused(capsys, "diff", other, stranger)


def test_verify(files, capsys, tmp_path):
    folder, model, signature = files
    path = folder / "noise.safetensors"
    code, out, _ = run(capsys, "verify", path, "--model", folder / "clean.keras")
    assert code == 0 and out.startswith("OK")
    assert "made from as clean" in out
    moved = tmp_path / "moved.weights.h5"
    models.regularized(seed=5).save_weights(moved)
    _, out, _ = run(capsys, "verify", path, "--model", moved)
    assert "none it was made from" in out
    for name in ("clean.weights.h5", "clean.keras", "clean.safetensors"):
        code, out, _ = run(capsys, "verify", folder / name)
        assert code == 0 and "all readable and finite" in out
    assert "is none" in refused(capsys, "verify", moved, "--model", moved)
    sealed = tmp_path / "sealed.safetensors"
    save_arrays(sealed, {"a": np.ones(3)}, kind="table", header={})
    assert "'table' file holds" in run(capsys, "verify", sealed)[1]


def test_verify_finds_defects(files, capsys, tmp_path):
    folder, model, _ = files
    model = models.regularized()
    model.weights[0].assign(np.full((3, 5), np.nan))
    model.save_weights(tmp_path / "nan.weights.h5")
    whole = (folder / "noise.safetensors").read_bytes()
    changed = bytearray(whole)
    changed[-1] ^= 1
    sealed = tmp_path / "sealed.safetensors"
    save_arrays(sealed, {"a": np.ones(3)}, kind="table", header={})
    sealed.write_bytes(sealed.read_bytes()[:-1] + b"\1")
    strange = tmp_path / "strange.weights.h5"
    models.dense(units=7).save_weights(strange)
    (tmp_path / "cut").write_bytes(whole[:-4])
    (tmp_path / "changed").write_bytes(changed)
    (tmp_path / "empty").write_bytes(b"")
    for words, *arguments in (
        ("NaN", tmp_path / "nan.weights.h5"),
        ("truncated", tmp_path / "cut"),
        ("checksum", tmp_path / "changed"),
        ("not a readable", tmp_path / "empty"),
        ("checksum", sealed),
        ("no layer 'norm'", folder / "noise.safetensors", "--model", strange),
    ):
        code, out, err = run(capsys, "verify", *arguments)
        assert (code, out) == (1, "")
        assert err.startswith("defect: ") and words in err


def test_mistakes_are_explained(capsys):
    for arguments in ([], ["sig"], ["sig", "grow", "x"], ["sig", "apply", "x"]):
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        assert stop.value.code == 2
        assert "usage: keras-reweight" in capsys.readouterr().err


def test_the_installed_command_is_this_one():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    module, _, name = project["scripts"]["keras-reweight"].partition(":")
    assert getattr(importlib.import_module(module), name) is main
