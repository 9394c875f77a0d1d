"""What was measured last for each claim, one JSON file each, so that a run may be a part of all."""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Iterable
from typing import Any

DIRECTORY = pathlib.Path(__file__).with_name("results")


def save(name: str, content: dict[str, Any], directory: pathlib.Path = DIRECTORY) -> None:
    """Keep the outcome of a claim in place of its last one."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{name}.json"
    aside = path.with_suffix(".tmp")
    aside.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    os.replace(aside, path)


def load(names: Iterable[str], directory: pathlib.Path = DIRECTORY) -> dict[str, dict[str, Any]]:
    """The last outcomes, by claim, in the order of `names`; claims never measured are left out."""
    found = {}
    for name in names:
        path = directory / f"{name}.json"
        if path.is_file():
            found[name] = json.loads(path.read_text(encoding="utf-8"))
    return found
