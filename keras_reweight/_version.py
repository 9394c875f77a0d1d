"""The version of the distribution, from the one place that states it: `pyproject.toml`."""

from __future__ import annotations

import tomllib
from importlib import metadata
from pathlib import Path

DISTRIBUTION = "keras-reweight-compress"
UNKNOWN = "0+unknown"


def find_version(pyproject: Path) -> str:
    """The installed version; in a checkout that is not installed, the one `pyproject` states.

    `"0+unknown"` where neither is there, as when someone copied the packages by hand.
    """
    try:
        return metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        pass
    if not pyproject.is_file():
        return UNKNOWN
    project = tomllib.loads(pyproject.read_text(encoding="utf-8")).get("project", {})
    return project.get("version", UNKNOWN) if project.get("name") == DISTRIBUTION else UNKNOWN


__version__ = find_version(Path(__file__).resolve().parent.parent / "pyproject.toml")
