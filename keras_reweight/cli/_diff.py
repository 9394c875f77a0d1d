"""`sig diff`."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from keras_reweight.cli._files import is_signature, read_signature
from keras_reweight.cli._table import number, shape_text, table
from keras_reweight.core.stored_weights import StoredWeights
from keras_reweight.core.weight_change import WeightChange

_HEADER = ["weight", "shape", "change / norm", "largest", "cosine", "changed"]


def diff_files(first: str, second: str) -> tuple[bool, str]:
    """Whether two files hold the same numbers, and the table of how they differ."""
    kinds = [is_signature(path) for path in (first, second)]
    if kinds[0] != kinds[1]:
        names = {True: "a signature", False: "weights"}
        raise ValueError(f"{first!r} is {names[kinds[0]]}, {second!r} is {names[kinds[1]]}.")
    pairs = _signatures(first, second) if kinds[0] else _weights(first, second)
    # One after another: the arrays of both files need not fit into memory.
    rows = [_row(pair, first, second) for pair in pairs]
    same = f"{rows.count(None)} of {len(rows)} weights are the same bit for bit"
    text = f"{first} -> {second}: {same}."
    shown = [row for row in rows if row is not None]
    return not shown, f"{text}\n\n{table(_HEADER, shown)}" if shown else text


def _row(pair, first, second) -> list[str] | None:
    """What differs in one weight; `None` if nothing does."""
    label, before, after = pair
    if before is None or after is None:
        array, where = (after, second) if before is None else (before, first)
        return [label, shape_text(array.shape), "-", "-", "-", f"only in {where}"]
    if (before.shape, before.dtype) != (after.shape, after.dtype):
        here, there = (f"{array.dtype} {shape_text(array.shape)}" for array in (before, after))
        return [label, here, "-", "-", "-", f"{there} there"]
    if before.tobytes() == after.tobytes():
        return None
    change = WeightChange.between(label, before, after)
    return [
        label, shape_text(before.shape), number(change.relative), number(change.largest),
        f"{change.cosine:.6f}", f"{change.share_changed:.1%}",
    ]  # fmt: skip


Pair = tuple[str, np.ndarray | None, np.ndarray | None]


def _signatures(first, second) -> Iterator[Pair]:
    patches = [read_signature(path) for path in (first, second)]
    patches[0].architecture.check(patches[1].architecture, f"{second!r}, compared with {first!r},")
    for index in sorted({*patches[0].indices, *patches[1].indices}):
        found = [patch.delta(index) if index in patch.indices else None for patch in patches]
        yield patches[0].architecture[index].path, found[0], found[1]


def _weights(first, second) -> Iterator[Pair]:
    with StoredWeights(first) as one, StoredWeights(second) as other:
        known = {weight.key: weight for weight in other.weights}
        for weight in one.weights:
            there = known.pop(weight.key, None)
            after = None if there is None else other.read(there)
            yield weight.label, one.read(weight), after
        for weight in known.values():
            yield weight.label, None, other.read(weight)
