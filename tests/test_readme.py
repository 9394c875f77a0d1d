"""The Python of the README runs as it stands there, from top to bottom."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def python_blocks(text: str) -> list[tuple[int, str]]:
    """Every Python block, padded so that an error names the line of the document."""
    blocks = []
    for match in re.finditer(r"```python\n(.*?)```", text, re.DOTALL):
        lines_before = text.count("\n", 0, match.start(1))
        blocks.append((lines_before + 1, "\n" * lines_before + match[1]))
    return blocks


# KerasTuner loads the best weights into a model whose optimizer has no variables yet.
@pytest.mark.filterwarnings("ignore:Skipping variable loading for optimizer:UserWarning")
def test_readme_code_runs(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    path = ROOT / "README.md"
    blocks = python_blocks(path.read_text(encoding="utf-8"))
    assert len(blocks) >= 8
    namespace = {"__name__": "readme"}
    for _, source in blocks:
        exec(compile(source, str(path), "exec"), namespace)
    assert 0 < len(namespace["dropped"]) < 256
    report = namespace["kc"].sparsity_report(namespace["model"])
    assert report.num_bytes > 0
    assert capsys.readouterr().out


def test_blocks_keep_their_line_numbers():
    (line, source) = python_blocks("a\n\n```python\nx = 1\n```\n")[0]
    assert line == 4
    assert source.splitlines()[line - 1] == "x = 1"
