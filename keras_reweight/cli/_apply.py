"""`sig apply`."""

from __future__ import annotations

import math
import os

import numpy as np

from keras_reweight.cli._files import is_signature, placed, read_signature
from keras_reweight.cli._table import number, table
from keras_reweight.core.stored_weights import StoredWeights


def apply_file(signature: str, weights: str, output: str, alpha: float, *, force: bool) -> str:
    """Write the weights with the signature added; the numbers are those of `SignaturePatcher`."""
    if not math.isfinite(alpha):
        raise ValueError(f"--alpha must be finite, got {alpha!r}.")
    if os.path.exists(output) and not force:
        raise ValueError(f"{output!r} exists; pass --force to write over it.")
    patch = read_signature(signature)
    if is_signature(weights):
        raise ValueError(f"{weights!r} is a signature; what it is added to must be weights.")
    rows, changes = [], {}
    with StoredWeights(weights) as file:
        if os.path.splitext(output)[1] != file.path.suffix:
            raise ValueError(
                f"{output!r} must end in {file.path.suffix!r} as {weights!r} does: the file stays "
                "of its kind."
            )
        places = placed(patch.architecture, file)
        for index in patch.indices:
            base, delta = file.read(places[index]), alpha * patch.delta(index)
            path = patch.architecture[index].path
            changes[places[index].key] = moved(base, delta, path)
            before = float(np.linalg.norm(base.astype("float64")))
            change = float(np.linalg.norm(delta))
            share = f"{change / before:.2%}" if before > 0.0 else "-"
            rows.append([path, number(before), number(change), share])
        file.rewritten(output, changes)
    header = ["weight", "norm", "norm of the change", "share"]
    title = f"{patch.name!r} at alpha {number(alpha)}: {weights} -> {output}"
    return f"{title}\n\n{table(header, rows)}"


def moved(base: np.ndarray, delta: np.ndarray, path: str) -> np.ndarray:
    """`base + delta`, added in float64 and rounded once."""
    with np.errstate(over="ignore", invalid="ignore"):
        found = np.asarray(base.astype(np.float64) + delta).astype(base.dtype)
    if (np.isfinite(base) & ~np.isfinite(found)).any():
        raise ValueError(f"--alpha: weight {path!r} would overflow {base.dtype}.")
    # Adding zero would turn -0.0 into 0.0.
    return np.where(delta == 0.0, base, found)
