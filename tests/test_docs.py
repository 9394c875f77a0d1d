"""The generated documentation is what the catalog says."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parent.parent / "docs"


@pytest.fixture(scope="module")
def generate():
    spec = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_table_of_methods_is_up_to_date(generate):
    assert generate.main(["--check"]) == 0, "run `python docs/generate.py`"


def test_every_public_name_is_in_the_table(generate):
    text = generate.METHODS.read_text(encoding="utf-8")
    for row in generate.rows():
        assert not row.is_main or f"| `{generate.import_path(row)}` | {row.kind} |" in text


def test_a_stale_table_is_found(generate, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(generate, "METHODS", tmp_path / "methods.md")
    assert generate.main(["--check"]) == 1
    assert "stale" in capsys.readouterr().err
    assert generate.main([]) == 0
    assert generate.main(["--check"]) == 0
