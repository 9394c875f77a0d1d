"""The gallery: its code runs, every method has a place, its pictures and its evidence exist."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from docs import hooks, pictures
from docs.curves._picture import Picture
from evidence.claims import NAMES
from tests.contract.catalog import rows
from tests.test_readme import python_blocks

ROOT = Path(__file__).resolve().parent.parent
GALLERY = ROOT / "docs" / "gallery"
PAGES = sorted(path.stem for path in GALLERY.glob("*.md") if path.stem != "index")
#: Families of the catalog that the gallery leaves to the table of methods.
ELSEWHERE = {
    "callbacks",
    "data",
    "gradients",
    "grids",
    "losses",
    "pruning",
    "quantization",
    "schedules",
    "tables",
}
#: Interfaces are no methods.
NO_METHODS = {
    "Attack",
    "Attacked",
    "RobustObjective",
    "RobustTerm",
    "SampleScheduler",
    "SharpnessRule",
    "TaskBalancer",
    "TaskStatistics",
    "Weighting",
}
#: What one use may take; the lines that the blocks of a page share come on top.
LINES = 5


def text(page: str) -> str:
    return (GALLERY / f"{page}.md").read_text(encoding="utf-8")


def sections(markdown: str) -> list[tuple[str, str]]:
    """Heading and body of the sections that are about methods."""
    parts = re.split(r"^## (.+)$", markdown, flags=re.MULTILINE)[1:]
    pairs = zip(parts[::2], parts[1::2], strict=True)
    return [(heading, body) for heading, body in pairs if "`" in heading]


def names(heading: str) -> list[str]:
    return re.findall(r"`(\w+)`", heading)


def code_lines(source: str) -> list[str]:
    return [line for line in source.splitlines() if line.strip()]


def images(markdown: str) -> set[str]:
    return set(re.findall(r"\]\(pictures/([^)]+)\)", markdown))


@pytest.mark.parametrize("page", [*PAGES, "index", "../index"])
def test_the_code_of_a_page_runs(page, capsys):
    blocks = python_blocks(text(page))
    assert blocks
    namespace = {"__name__": "gallery"}
    for _, source in blocks:
        exec(compile(source, f"{page}.md", "exec"), namespace)
    assert not capsys.readouterr().out


@pytest.mark.parametrize("page", PAGES)
def test_sections_say_what_for_and_what_not_and_show_it_in_five_lines(page):
    assert "\n**Not for** " in text(page).partition("\n## ")[0]
    for heading, body in sections(text(page)):
        assert "\n**For** " in body, f"{heading} does not say what it is for"
        assert "\n**Not for** " in body, f"{heading} does not say when not to use it"
        blocks = [code_lines(source) for _, source in python_blocks(body)]
        assert blocks, f"{heading} shows no use"
        for lines in blocks:
            assert len(lines) <= LINES, f"{heading} takes {len(lines)} lines"
        for name in names(heading):
            shown = any(re.search(rf"\b{name}\b", line) for lines in blocks for line in lines)
            assert shown, f"{name} is not used in its section"


def test_every_method_has_one_place_in_the_gallery():
    wanted = {
        row.name
        for row in rows()
        if row.is_main and row.family not in ELSEWHERE and row.name not in NO_METHODS
    }
    places = [name for page in PAGES for head, _ in sections(text(page)) for name in names(head)]
    missing = sorted(wanted - set(places))
    assert not missing, f"no section of a page in docs/gallery has these in its heading: {missing}"
    known = {row.name for row in rows()}
    assert set(places) <= known, f"no public names: {sorted(set(places) - known)}"
    twice = sorted({name for name in places if places.count(name) > 1})
    assert not twice, f"in more than one heading: {twice}"


def test_the_index_lists_every_page():
    index = text("index")
    configuration = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    for page in PAGES:
        assert f"]({page}.md)" in index
        assert f": gallery/{page}.md\n" in configuration


def test_every_page_has_pictures_and_every_picture_a_place():
    assert pictures.pages() == PAGES
    for page in PAGES:
        assert images(text(page)) == set(pictures.pictures(page))


@pytest.mark.parametrize("page", PAGES)
def test_the_first_picture_of_a_page_is_made(page, tmp_path):
    """`make docs` draws the others in the same way; here they would take too long."""
    name, picture = next(iter(pictures.pictures(page).items()))
    pictures.draw(picture, tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    drawn = (tmp_path / name).read_text(encoding="utf-8")
    assert drawn.startswith("<?xml")
    for text_in_it in (picture.x, picture.y):
        assert text_in_it in drawn


def test_curves_that_are_not_finite_are_refused(tmp_path):
    broken = Picture("x", "y", lambda: {"broken": (np.arange(2), np.array([1.0, np.nan]))})
    with pytest.raises(ValueError, match="'broken' is not finite"):
        pictures.draw(broken, tmp_path / "broken.svg")
    assert not list(tmp_path.iterdir())


def test_pictures_are_the_same_in_every_run(tmp_path):
    picture = pictures.pictures("margin_energy")["margin_energy_energy.svg"]
    for name in ("first.svg", "second.svg"):
        pictures.draw(picture, tmp_path / name)
    assert (tmp_path / "first.svg").read_bytes() == (tmp_path / "second.svg").read_bytes()


@pytest.mark.parametrize("page", PAGES)
def test_evidence_of_a_page_is_that_of_claims(page):
    found = hooks.claims(text(page))
    assert set(found) <= set(NAMES), f"no claims: {sorted(set(found) - set(NAMES))}"
    assert text(page).count("<!-- evidence:") == len(hooks.markers(text(page)))
    assert found or "\nNo program in the evidence measures these methods yet.\n" in text(page)


REPORT = """# Evidence

| claim | criterion | seeds | seconds |
|---|---|---|---|
| [{title}](#an-anchor) | **not met** | 5 | 45 |

## {title}

- yes: one: 1, at most 2
- **no**: two: 3, at most 2

## Another claim

- yes: three: 3, at most 4
"""


def test_evidence_is_taken_from_the_report():
    title = hooks.describe("pruning").title.rstrip(".")
    lines = hooks.table(["pruning", "signature"], REPORT.format(title=title)).splitlines()
    assert lines[2] == (
        f"| [{title}](../evidence.md#an-anchor) | **not met** "
        "| yes: one: 1, at most 2<br>**no**: two: 3, at most 2 |"
    )
    assert lines[3].endswith(" | not measured yet | |")


def test_evidence_of_the_present_report():
    report = hooks.REPORT.read_text(encoding="utf-8")
    (line,) = hooks.table(["lin_upper_regression"], report).splitlines()[2:]
    assert "](../evidence.md#" in line
    assert re.search(r"yes: .+<br>", line)


def test_an_unknown_claim_is_refused():
    with pytest.raises(ValueError, match="no_such_claim"):
        hooks.table(["no_such_claim"], "")


def test_a_marker_becomes_a_table():
    page = hooks.on_page_markdown("a\n\n<!-- evidence: pruning -->\n\nb", None, None, None)
    assert "<!--" not in page
    assert page.startswith("a\n\n| claim |")
