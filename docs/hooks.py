"""What MkDocs does beyond its configuration: evidence in the gallery, documents of the root.

A line `<!-- evidence: pruning signature -->` of a page becomes a table with a row for each of these
claims, taken from `docs/evidence.md`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REPORT = ROOT / "docs" / "evidence.md"

if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from evidence.claims import NAMES, describe  # noqa: E402

_MARKER = re.compile(r"^<!-- evidence: ([a-z0-9_ ]+) -->$", re.MULTILINE)
_SUMMARY = re.compile(r"^\| \[(.+)\]\((#.+)\) \| (.+?) \|", re.MULTILINE)
_CHECK = re.compile(r"^- (yes|\*\*no\*\*): (.+)$", re.MULTILINE)
_DOCUMENTS = {"changelog.md": "CHANGELOG.md", "contributing.md": "CONTRIBUTING.md"}


def markers(markdown: str) -> list[str]:
    """The places for evidence in a page: the names that each lists."""
    return _MARKER.findall(markdown)


def claims(markdown: str) -> list[str]:
    """Names of the claims whose evidence a page shows."""
    return [name for names in markers(markdown) for name in names.split()]


def table(names: Iterable[str], report: str) -> str:
    """Evidence for the claims, for a page of the gallery.

    Raises:
        ValueError: If a name is no claim.
    """
    summary = {title: (anchor, verdict) for title, anchor, verdict in _SUMMARY.findall(report)}
    lines = ["| claim | criterion | measured |", "|---|---|---|"]
    for name in names:
        if name not in NAMES:
            raise ValueError(f"{name!r} is no claim; there are {NAMES}.")
        title = describe(name).title.rstrip(".")
        if title in summary:
            anchor, verdict = summary[title]
            lines.append(
                f"| [{title}](../evidence.md{anchor}) | {verdict} | {_checks(title, report)} |"
            )
        else:
            lines.append(f"| {title} | not measured yet | |")
    return "\n".join(lines)


def _checks(title: str, report: str) -> str:
    section = report.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    return "<br>".join(f"{answer}: {text}" for answer, text in _CHECK.findall(section))


def on_page_markdown(markdown, page, config, files):
    report = REPORT.read_text(encoding="utf-8") if REPORT.is_file() else ""
    return _MARKER.sub(lambda match: table(match[1].split(), report), markdown)


def on_files(files, config):
    from mkdocs.structure.files import File

    for name, source in _DOCUMENTS.items():
        content = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, name, content=content))
    return files
