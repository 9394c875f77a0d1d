"""`sig inspect`."""

from __future__ import annotations

import os

import numpy as np

from keras_reweight.cli._files import Numbers, is_signature, read_signature
from keras_reweight.cli._table import fields, number, shape_text, size_text, table
from keras_reweight.core.stored_weights import StoredWeights
from keras_reweight.signatures import patch_file


def inspect_file(path: str, *, everything: bool = False) -> str:
    """What a file holds, in words and numbers."""
    return _signature(path) if is_signature(path) else _weights(path, everything)


def _signature(path):
    patch = read_signature(path)
    model = patch.architecture
    whole = sum(_num_bytes(spec.shape, spec.dtype) for spec in model)
    size = os.path.getsize(path)
    pairs = [
        ("file", path),
        ("format", patch_file.FORMAT),
        ("name", patch.name),
        ("kind", patch.kind),
        ("coefficient", number(patch.coefficient)),
        ("changes", f"{len(patch.indices)} of {len(model)} weights"),
        ("size", f"{size_text(size)}, {size / whole:.1%} of the model's {size_text(whole)}"),
        ("sha256", patch.digest()),
        *[(f"made from {key}", value) for key, value in sorted(patch.sources.items())],
    ]
    rows = []
    for index, codec in zip(patch.indices, patch.stored_as, strict=True):
        spec, delta = model[index], patch.delta(index)
        numbers = Numbers.of(delta)
        root = np.sqrt(delta.size) if delta.size else 1.0
        rows.append(
            [spec.path, shape_text(spec.shape), spec.dtype, codec, number(numbers.norm),
             number(numbers.norm / root), number(numbers.largest)]
        )  # fmt: skip
    header = ["weight", "shape", "dtype", "stored as", "norm", "rms", "largest"]
    return f"{fields(pairs)}\n\n{table(header, rows)}"


def _weights(path, everything):
    with StoredWeights(path) as file:
        shown = [*file.weights, *(file.others if everything else [])]
        rows, total, largest = [], 0, []
        for weight in shown:
            array = file.read(weight)
            numbers = Numbers.of(array)
            total += array.nbytes
            largest.append(numbers.finite)
            rows.append(
                [weight.label, shape_text(weight.shape), weight.dtype, f"{weight.size:,}",
                 number(numbers.norm), number(numbers.largest)]
            )  # fmt: skip
        pairs = [
            ("file", path),
            ("kind", file.kind),
            ("weights", f"{len(file.weights)}, {sum(w.size for w in file.weights):,} numbers"),
            ("arrays shown", size_text(total)),
            ("finite", "yes" if all(largest) else "no"),
        ]
        if file.others and not everything:
            pairs.append(("optimizer", f"{len(file.others)} arrays, not shown (--all)"))
    header = ["weight", "shape", "dtype", "numbers", "norm", "largest"]
    return f"{fields(pairs)}\n\n{table(header, rows)}"


def _num_bytes(shape, dtype):
    return int(np.prod(shape)) * np.dtype(dtype).itemsize
