"""What is installed is what `pyproject.toml` states, and it needs no more than it says."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import keras
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import keras_reweight
from keras_reweight import _version

ROOT = Path(__file__).resolve().parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]
EXTRAS = PROJECT["optional-dependencies"]
# What is compared with and measured on wants versions of its own and gets its own environments.
APART = ("peers", "runtimes", "tfmot")
PACKAGES = ("keras_compress", "keras_reweight")
BACKENDS = ("jax", "tensorflow", "torch")
OPTIONAL_MODULES = (
    "keras_tuner",
    "matplotlib",
    "onnx",
    "onnxruntime",
    "ray",
    "sklearn",
    "tensorboard",
)
DOCUMENTS = ("CHANGELOG.md", "CONTRIBUTING.md", "README.md")

# Imports our packages where the hidden modules look as if they were not installed.
IMPORT_PROGRAM = """
import importlib, sys

class Hiding:
    def __init__(self, finder):
        self.finder = finder

    def __getattr__(self, name):
        return getattr(self.finder, name)

    def find_spec(self, name, path=None, target=None):
        hidden = name.partition(".")[0] in {hidden!r}
        return None if hidden else self.finder.find_spec(name, path, target)

sys.meta_path[:] = map(Hiding, sys.meta_path)
for package in {packages!r}:
    importlib.import_module(package)
"""


def import_without(hidden: set[str]) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", IMPORT_PROGRAM.format(hidden=hidden, packages=PACKAGES)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_import_needs_the_active_backend_alone():
    result = import_without({*BACKENDS, *OPTIONAL_MODULES} - {keras.backend.backend()})
    assert result.returncode == 0, result.stderr


def test_a_hidden_module_is_really_hidden():
    result = import_without({"keras"})
    assert result.returncode != 0
    assert "No module named 'keras'" in result.stderr


def test_the_version_is_the_one_of_pyproject():
    assert keras_reweight.__version__ == PROJECT["version"]


def test_version_of_an_installed_distribution(monkeypatch, tmp_path):
    monkeypatch.setattr(metadata, "version", lambda name: f"version of {name}")
    found = _version.find_version(tmp_path / "pyproject.toml")
    assert found == "version of keras-reweight-compress"


@pytest.mark.parametrize(
    ("pyproject", "expected"),
    [
        ('[project]\nname = "keras-reweight-compress"\nversion = "1.2.3"\n', "1.2.3"),
        ('[project]\nname = "another"\nversion = "1.2.3"\n', "0+unknown"),
        ('[project]\nname = "keras-reweight-compress"\n', "0+unknown"),
        ("[tool.other]\n", "0+unknown"),
        (None, "0+unknown"),
    ],
)
def test_version_without_an_installation(monkeypatch, tmp_path, pyproject, expected):
    def not_found(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", not_found)
    if pyproject is not None:
        (tmp_path / "pyproject.toml").write_text(pyproject, encoding="utf-8")
    assert _version.find_version(tmp_path / "pyproject.toml") == expected


def test_the_wheel_holds_the_two_typed_packages_and_nothing_else(tmp_path):
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name == f"keras_reweight_compress-{PROJECT['version']}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as file:
        names = set(file.namelist())
    info = f"keras_reweight_compress-{PROJECT['version']}.dist-info"
    assert {name.partition("/")[0] for name in names} == {*PACKAGES, info}
    assert {f"{package}/py.typed" for package in PACKAGES} < names
    assert f"{info}/licenses/LICENSE" in names
    sources = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
    }
    assert sources == {name for name in names if name.endswith(".py")}


def test_the_core_depends_on_four_packages():
    names = {Requirement(requirement).name for requirement in PROJECT["dependencies"]}
    assert names == {"keras", "numpy", "safetensors", "scipy"}


def test_the_extras():
    used = {"dev", "distributed", "docs", "examples", "export", "plot", "tune"}
    assert set(EXTRAS) == {*used, *APART, *BACKENDS}


def constraint_lines() -> list[str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def test_constraints_are_plain_pins():
    for line in constraint_lines():
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", line), line


def test_constraints_pin_every_requirement_at_a_version_it_admits():
    pins = {}
    for line in constraint_lines():
        name, _, version = line.partition("==")
        assert canonicalize_name(name) not in pins, f"{name} is pinned twice"
        pins[canonicalize_name(name)] = version
    extras = [text for name, texts in EXTRAS.items() if name not in APART for text in texts]
    for requirement in map(Requirement, [*PROJECT["dependencies"], *extras]):
        if requirement.name != PROJECT["name"]:
            pin = pins[canonicalize_name(requirement.name)]
            assert requirement.specifier.contains(pin), f"{requirement} does not admit {pin}"


def test_the_build_backend_is_a_development_requirement():
    assert set(PYPROJECT["build-system"]["requires"]) <= set(EXTRAS["dev"])


def test_readme_shows_the_two_commands_first():
    blocks = re.findall(r"```\w*\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    assert blocks[0] == "make demo\nmake test\n"


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_inside_the_project_lead_somewhere(document):
    text = (ROOT / document).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
        if not target.startswith(("http:", "https:")):
            assert (ROOT / target).exists(), f"{document} links to {target}"
