"""`sig verify`."""

from __future__ import annotations

import hashlib
import json

import numpy as np

from keras_reweight.cli._files import header_of, is_signature, placed, read_signature
from keras_reweight.cli._table import fields
from keras_reweight.core.files import load_arrays
from keras_reweight.core.stored_weights import StoredWeights
from keras_reweight.signatures.weight_digest import digest_of


def verify_file(path: str, weights: str | None) -> tuple[bool, str]:
    """Whether the file is whole, and what was looked at."""
    signature = is_signature(path)
    if weights is not None and not signature:
        raise ValueError(f"--model is for signatures, {path!r} is none.")
    try:
        pairs = _signature(path, weights) if signature else _weights(path)
    except ValueError as defect:
        return False, f"defect: {defect}"
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return True, fields([("OK", path), *pairs, ("sha256 of the file", digest)])


def _signature(path, weights):
    patch = read_signature(path)
    pairs = [
        ("signature", f"{patch.name!r}, {len(patch.indices)} changes, sealed and whole"),
        ("seal", patch.digest()),
    ]
    if weights is None:
        return pairs
    with StoredWeights(weights) as file:
        places = placed(patch.architecture, file)
        found = digest_of({index: file.read(places[index]) for index in patch.indices})
    same = sorted(name for name, known in patch.sources.items() if known == found)
    origin = f"those it was made from as {', '.join(same)}" if same else "none it was made from"
    return [*pairs, ("fits", weights), ("these weights are", origin)]


def _weights(path):
    with StoredWeights(path) as file:
        for weight in [*file.weights, *file.others]:
            if not np.isfinite(file.read(weight).astype("float64")).all():
                raise ValueError(f"{path!r}: {weight.label} holds NaN or infinity.")
        pairs = [
            ("kind", file.kind),
            ("weights", f"{len(file.weights)}, all readable and finite"),
            ("optimizer", f"{len(file.others)} arrays, all readable and finite"),
        ]
        kind = file.kind
    if kind == "safetensors" and (sealed := _sealed_kind(path)) is not None:
        load_arrays(path, kind=sealed)
        pairs.append(("seal", f"that of a {sealed!r} file holds"))
    return pairs


def _sealed_kind(path):
    """The kind of a file that this package has sealed, `None` for those of others."""
    try:
        header = json.loads(header_of(path)["header"])
    except (KeyError, TypeError, ValueError):
        return None
    sealed = isinstance(header, dict) and isinstance(header.get("sha256"), str)
    return header.get("kind") if sealed else None
