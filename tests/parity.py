"""Compares the arrays that the test runs of several backends recorded.

`python -m tests.parity .parity/jax.npz .parity/tensorflow.npz .parity/torch.npz` merges the part
files that the pytest processes wrote beside each path, demands the same keys everywhere and
compares every pair of backends: floats within `rtol` of the largest magnitude in the array,
integers and booleans exactly. Exit code 1 on any difference.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

RTOL = 1e-5


class Difference(NamedTuple):
    """How far one array is apart on two backends, relative to its largest magnitude."""

    relative: float
    key: str
    backends: str
    note: str


def part_files(path: Path) -> list[Path]:
    """The file itself, where there is one, and the parts that pytest processes wrote beside it."""
    whole = [path] if path.is_file() else []
    return whole + sorted(path.parent.glob(f"{path.name}.*.npz"))


def load(path: Path) -> dict[str, np.ndarray]:
    """All arrays of one backend; raises when two parts hold the same key."""
    arrays: dict[str, np.ndarray] = {}
    for part in part_files(path):
        with np.load(part, allow_pickle=False) as file:
            twice = sorted(set(file.files) & arrays.keys())
            if twice:
                raise ValueError(f"{part} holds keys that another part holds too: {twice[:5]}.")
            arrays.update({key: file[key] for key in file.files})
    return arrays


def relative_difference(a: np.ndarray, b: np.ndarray) -> tuple[float, str]:
    """Largest |a - b| over the largest magnitude, and a note on what is wrong beyond numbers."""
    if a.shape != b.shape:
        return np.inf, f"shapes {a.shape} and {b.shape}"
    if a.dtype.kind in "biu" and b.dtype.kind in "biu":
        changed = int(np.sum(a != b))
        return (np.inf, f"{changed} of {a.size} integers differ") if changed else (0.0, "")
    a, b = a.astype(np.float64), b.astype(np.float64)
    finite = np.isfinite(a) & np.isfinite(b)
    if not np.array_equal(a[~finite], b[~finite], equal_nan=True):
        return np.inf, "NaN or infinity in different places"
    a, b = a[finite], b[finite]
    largest_gap = np.max(np.abs(a - b), initial=0.0)
    scale = np.max(np.abs(np.concatenate([a, b])), initial=0.0)
    return (float(largest_gap / scale) if largest_gap else 0.0), f"largest magnitude {scale:.3g}"


def compare(recorded: Mapping[str, Mapping[str, np.ndarray]]) -> list[Difference]:
    """Every key on every pair of backends, worst first; a missing key is infinitely far apart."""
    differences = []
    for key in sorted(set().union(*recorded.values())):
        holders = [backend for backend, arrays in recorded.items() if key in arrays]
        for backend in recorded:
            if backend not in holders:
                differences.append(Difference(np.inf, key, backend, "not recorded"))
        for first, second in itertools.combinations(holders, 2):
            relative, note = relative_difference(recorded[first][key], recorded[second][key])
            differences.append(Difference(relative, key, f"{first} / {second}", note))
    return sorted(differences, key=lambda difference: (-difference.relative, difference.key))


def format_table(differences: Sequence[Difference]) -> str:
    """A table of differences, one line each."""
    rows = [("relative", "backends", "key", "note")]
    rows += [(f"{d.relative:.2e}", d.backends, d.key, d.note) for d in differences]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = []
    for *cells, note in rows:
        padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        lines.append("  ".join([*padded, note]).rstrip())
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.parity", description=__doc__)
    parser.add_argument("paths", nargs="+", type=Path, help="one path per backend, <backend>.npz")
    parser.add_argument("--rtol", type=float, default=RTOL, help="default %(default)s")
    parser.add_argument("--worst", type=int, default=10, help="rows to print, default %(default)s")
    options = parser.parse_args(arguments)
    if len(options.paths) < 2:
        parser.error("at least two backends are needed for a comparison")

    recorded = {path.stem: load(path) for path in options.paths}
    if not any(recorded.values()):
        print("parity: no arrays were recorded", file=sys.stderr)
        return 1
    differences = compare(recorded)
    apart = [difference for difference in differences if difference.relative > options.rtol]
    print(format_table(differences[: max(options.worst, len(apart))]))
    keys = len(set().union(*recorded.values()))
    verdict = f"{len(apart)} differ" if apart else "all agree"
    print(f"parity: {keys} arrays on {', '.join(recorded)}; {verdict} (rtol {options.rtol:g})")
    return 1 if apart else 0


if __name__ == "__main__":
    sys.exit(main())
