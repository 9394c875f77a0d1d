"""The report: one section for each claim, from its docstring and its numbers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from evidence.claims import describe
from evidence.result import Result

_QUICK = "**A quick run: sizes are cut down to check the programs. These numbers are no evidence.**"


@dataclass
class Outcome:
    """What became of one claim."""

    name: str
    seconds: float
    result: Result | None = None
    seeds: list[int] = field(default_factory=list)
    environment: dict[str, Any] = field(default_factory=dict)
    error: str = ""

    @classmethod
    def from_dict(cls, name: str, content: dict[str, Any]) -> Outcome:
        result = content.pop("result", None)
        return cls(name, result=None if result is None else Result.from_dict(result), **content)

    @property
    def passed(self) -> bool:
        return self.result is not None and self.result.passed

    @property
    def verdict(self) -> str:
        if self.result is None:
            return "not measured"
        return "met" if self.passed else "**not met**"


def render(outcomes: list[Outcome], *, quick: bool) -> str:
    """The whole report as Markdown."""
    lines = [
        "# Evidence",
        "",
        "Written by `make evidence`; do not edit. One program for each claim in `evidence/`, with "
        "the baseline in the same run. A criterion that is not met is a result, too: it stays here "
        "with its numbers.",
        "",
    ]
    if quick:
        lines += [_QUICK, ""]
    lines += ["| claim | criterion | seeds | seconds |", "|---|---|---|---|"]
    for outcome in outcomes:
        title = describe(outcome.name).title.rstrip(".")
        lines.append(
            f"| [{title}](#{_anchor(title)}) | {outcome.verdict} | {len(outcome.seeds)} "
            f"| {outcome.seconds:.0f} |"
        )
    for outcome in outcomes:
        lines += ["", *_section(outcome)]
    return "\n".join(lines) + "\n"


def _environment(outcome):
    versions = ", ".join(f"{n} {version}" for n, version in outcome.environment["versions"].items())
    return (
        f"Backend {outcome.environment['backend']} ({versions}); {outcome.environment['machine']}."
    )


def _section(outcome):
    description = describe(outcome.name)
    lines = [f"## {description.title.rstrip('.')}", ""]
    for label, text in description.parts.items():
        lines += [f"**{label}.** {text}", ""]
    if outcome.result is None:
        return [*lines, "**Not measured.**", "", "```", outcome.error.strip(), "```"]
    lines += [_environment(outcome), "", *_table(outcome), ""]
    lines += [f"{note}\n" for note in outcome.result.notes]
    lines += [f"**Criterion {outcome.verdict.strip('*')}:**", ""]
    for check in outcome.result.checks:
        lines.append(f"- {'yes' if check.passed else '**no**'}: {check.text}")
    return lines


def _table(outcome):
    result = outcome.result
    metrics = list(dict.fromkeys(row.metric for row in result.rows))
    cells: dict[str, dict[str, str]] = {}
    for row in result.rows:
        cells.setdefault(row.arm, {})[row.metric] = _cell(row, result.summary)
    counts = {len(row.values) for row in result.rows}
    if result.summary == "mean":
        seeds = ", ".join(map(str, outcome.seeds))
        head = f"Mean ± standard deviation over seeds {seeds} (`{outcome.name}.py`):"
    else:
        rounds = "/".join(map(str, sorted(counts)))
        head = f"Median and quartiles of {rounds} rounds (`{outcome.name}.py`):"
    lines = [head, "", f"| | {' | '.join(metrics)} |", "|---" * (len(metrics) + 1) + "|"]
    for arm, values in cells.items():
        lines.append(f"| {arm} | {' | '.join(values.get(metric, '') for metric in metrics)} |")
    return lines


def _cell(row, summary):
    center, spread = row.center(summary), row.spread(summary)
    if summary == "median":
        return f"{_number(center)} ({_number(spread[0])} to {_number(spread[1])})"
    return " ± ".join(_number(value) for value in (center, *spread))


def _number(value):
    size = abs(value)
    digits = 0 if size >= 1000 else 1 if size >= 100 else 2 if size >= 1 or value == 0 else 3
    return f"{value:.{digits}f}"


def _anchor(title):
    kept = "".join(one for one in title.lower() if one.isalnum() or one in " -_")
    return kept.replace(" ", "-")
