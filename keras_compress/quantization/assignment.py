"""From bit widths, names and patterns to one quantizer (or none) for each layer."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import keras

from keras_compress.quantizers.methods import NAMES, parse_name
from keras_compress.quantizers.quantizer import Quantizer
from keras_reweight.core.validation import check_integer


@dataclass(frozen=True)
class Target:
    """What can get bits: a matrix, or the input of a layer.

    Attributes:
        key: What `assign` calls it.
        path: For messages.
        names: What a name may call it: itself, its layer, and the containers around it.
        patterns: What patterns are compared with.
        reason: Why it cannot be quantized, or `None`.
    """

    key: Hashable
    path: str
    names: frozenset[str]
    patterns: tuple[str, ...]
    reason: str | None = None


def names_of(path: str, *more: str) -> frozenset[str]:
    """The names of something at `path`, and of the containers around it, by name or path."""
    parts = path.split("/")
    prefixes = ["/".join(parts[: stop + 1]) for stop in range(len(parts))]
    return frozenset([*parts, *prefixes, *more])


def assign(argument: str, spec: Any, targets: list[Target]) -> dict[Hashable, int | Quantizer]:
    """`target.key` -> bits or quantizer, for the targets that `spec` gives one.

    Args:
        argument: Name of the argument, for error messages.
        spec: Bits (`4`), a name (`"int4"`), a quantizer, its config, or `None`, for all targets; or
            a mapping from names, glob patterns (`"conv*"`) or `re.Pattern` to these. A name comes
            before patterns, the name of a part before that of what is around it, patterns count in
            their order.
        targets: What there is.
    """
    if isinstance(spec, Mapping) and "class_name" not in spec:
        chosen = _match(argument, spec, targets)
    else:
        value = parse(argument, spec)
        chosen = {target.key: value for target in targets if target.reason is None}
    return {key: value for key, value in chosen.items() if value is not None}


def parse(argument: str, spec: Any) -> int | Quantizer | None:
    """Bits, a quantizer or `None` from any way of writing one of them."""
    if spec is None or isinstance(spec, Quantizer):
        return spec
    if isinstance(spec, Mapping):
        quantizer = keras.saving.deserialize_keras_object(dict(spec))
        if not isinstance(quantizer, Quantizer):
            raise TypeError(f"`{argument}`: {spec!r} is not the config of a Quantizer.")
        return quantizer
    if isinstance(spec, str):
        found = parse_name(spec)
        if found is None:
            raise ValueError(f"`{argument}` as a string must be {NAMES}, got {spec!r}.")
        return found
    check_integer(argument, spec, minimum=1, maximum=8)
    return int(spec)


def _match(argument, spec, targets):
    entries = []
    for key, value in spec.items():
        value = parse(f"{argument}[{key!r}]", value)
        found = [target for target in targets if _matches(argument, key, target)]
        if not found:
            known = list(dict.fromkeys(target.path for target in targets))
            raise ValueError(f"`{argument}`: no layer matches {key!r}. Layers: {known}.")
        if _is_name(key) and value is not None and all(target.reason for target in found):
            raise ValueError(f"`{argument}`: layer {key!r} cannot be quantized: {found[0].reason}.")
        entries.append((key, value, [target for target in found if target.reason is None]))
    patterns = [entry for entry in entries if not _is_name(entry[0])]
    names = [entry for entry in entries if _is_name(entry[0])]
    # Later entries overwrite earlier ones: the first pattern prevails among patterns, any name over
    # patterns, and the name that means the fewest.
    names.sort(key=lambda entry: -len(entry[2]))
    return {
        target.key: value for _, value, found in [*reversed(patterns), *names] for target in found
    }


def _is_name(key):
    return isinstance(key, str) and not any(sign in key for sign in "*?[")


def _matches(argument, key, target):
    if isinstance(key, re.Pattern):
        return any(key.search(text) is not None for text in target.patterns)
    if not isinstance(key, str):
        raise TypeError(
            f"`{argument}` as a mapping takes layer names, glob patterns or re.Pattern as keys, "
            f"got {key!r}."
        )
    if _is_name(key):
        return key in target.names
    return any(fnmatch.fnmatchcase(text, key) for text in target.patterns)
