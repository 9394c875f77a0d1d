"""Draws the pictures of the gallery into `docs/gallery/pictures`: `python docs/pictures.py`.

The curves are in `docs/curves`. The files are the same, byte for byte, in every run.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import sys
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure

ROOT = Path(__file__).resolve().parent.parent
DIRECTORY = ROOT / "docs" / "gallery" / "pictures"

if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

import docs.curves  # noqa: E402
from docs.curves._picture import Picture  # noqa: E402

# Legible on white and on a dark background alike, which the site switches between.
_GRAY = "#808080"
_COLORS = ("#3b82c4", "#d9722e", "#2f9e6e", "#c2549d", "#8d75d6", "#a08a2c")
_DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)))
_STYLE = {
    "axes.edgecolor": _GRAY,
    "axes.labelcolor": _GRAY,
    "font.family": "sans-serif",
    "font.size": 10,
    "legend.labelcolor": _GRAY,
    # Without it the ids inside the file are random.
    "svg.hashsalt": "gallery",
    "svg.fonttype": "none",
    "text.color": _GRAY,
    "xtick.color": _GRAY,
    "ytick.color": _GRAY,
}


def pages() -> list[str]:
    """Pages that have pictures, by the names of their modules of curves."""
    names = (module.name for module in pkgutil.iter_modules(docs.curves.__path__))
    return sorted(name for name in names if not name.startswith("_"))


def pictures(page: str) -> dict[str, Picture]:
    """Pictures of a page by file name."""
    module = importlib.import_module(f"docs.curves.{page}")
    return {f"{page}_{name}.svg": picture for name, picture in module.PICTURES.items()}


def draw(picture: Picture, path: Path) -> None:
    """Write one picture.

    Raises:
        ValueError: If a curve has values that are not finite.
    """
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(6.4, 3.4), layout="constrained")
        axes = figure.subplots()
        for index, (label, (x, y)) in enumerate(picture.curves().items()):
            if not np.isfinite(y).all():
                raise ValueError(f"{path.name}: {label!r} is not finite everywhere, got {y}.")
            color, dashes = _COLORS[index % len(_COLORS)], _DASHES[index % len(_DASHES)]
            axes.plot(x, y, label=label, color=color, linestyle=dashes, linewidth=2)
        axes.set(xlabel=picture.x, ylabel=picture.y, xscale="log" if picture.log_x else "linear")
        axes.grid(color=_GRAY, alpha=0.25)
        axes.spines[["right", "top"]].set_visible(False)
        figure.legend(frameon=False, loc="outside upper center", ncols=2)
        aside = path.with_suffix(".tmp")
        figure.savefig(aside, format="svg", transparent=True, metadata={"Date": None})
    os.replace(aside, path)


def main() -> int:
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    drawn = set()
    for page in pages():
        for name, picture in pictures(page).items():
            draw(picture, DIRECTORY / name)
            drawn.add(name)
    for path in DIRECTORY.iterdir():
        if path.name not in drawn:
            path.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
