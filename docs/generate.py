"""Writes `docs/methods.md`, the table of all methods, from the catalog of the contract.

`python docs/generate.py` writes the file, `python docs/generate.py --check` fails if it is stale.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
METHODS = ROOT / "docs" / "methods.md"

if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

import keras_compress  # noqa: E402
import keras_reweight  # noqa: E402
from keras_reweight.core.testing import Row  # noqa: E402
from keras_reweight.core.testing.public_names import public_names  # noqa: E402
from tests.contract.catalog import rows  # noqa: E402

_HEAD = """# Methods

Every public class and function, from the catalog that the contract tests run over. This file is
generated: `python docs/generate.py`.
"""


def import_path(row: Row) -> str:
    """The shortest dotted name under which the target is public."""
    paths = [
        name
        for package in (keras_reweight, keras_compress)
        for name, value in public_names(package).items()
        if value is row.target
    ]
    return min(paths, key=lambda path: (path.count("."), path), default=row.name)


def table(family: str, family_rows: Sequence[Row]) -> str:
    """Heading and table of one family."""
    lines = [
        f"## {family.capitalize()}",
        "",
        "| Name | Kind | What it does | Reference |",
        "|---|---|---|---|",
    ]
    for row in family_rows:
        cells = (f"`{import_path(row)}`", row.kind, row.summary, row.paper)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)


def methods() -> str:
    """The text of `docs/methods.md`."""
    main = [row for row in rows() if row.is_main]
    families = itertools.groupby(main, key=lambda row: row.family)
    tables = [table(family, list(family_rows)) for family, family_rows in families]
    return "\n\n".join([_HEAD.strip(), *tables]) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python docs/generate.py", description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail if the file is stale")
    if parser.parse_args(arguments).check:
        present = METHODS.read_text(encoding="utf-8") if METHODS.is_file() else ""
        if present != methods():
            sys.stderr.write("docs/methods.md is stale: run `python docs/generate.py`.\n")
            return 1
        return 0
    METHODS.write_text(methods(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
