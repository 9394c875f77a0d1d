"""From bit widths, names and patterns to one quantizer (or none) for each layer."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Mapping
from typing import Any

import keras

from keras_compress.quantization.quantizer import Quantizer
from keras_reweight.core.validation import check_integer


def assign(
    argument: str,
    spec: Any,
    layers: dict[str, keras.layers.Layer],
    refusal: Callable[[keras.layers.Layer], str | None],
) -> dict[int, int | Quantizer]:
    """`id(layer)` -> bits or quantizer, for the layers that `spec` gives one.

    Args:
        argument: Name of the argument, for error messages.
        spec: Bits (`4`), a name (`"int4"`), a quantizer, its config, or `None`, for all layers; or
            a mapping from layer names, glob patterns (`"conv*"`) or `re.Pattern` to these. A name
            comes before patterns, patterns count in their order.
        layers: Layers to choose from, by their paths.
        refusal: `layer -> None` or why it cannot be quantized.
    """
    if isinstance(spec, Mapping) and "class_name" not in spec:
        chosen = _match(argument, spec, layers, refusal)
    else:
        value = parse(argument, spec)
        chosen = {id(layer): value for layer in layers.values() if refusal(layer) is None}
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
        match = re.fullmatch(r"int([2-8])", spec)
        if not match:
            raise ValueError(f"`{argument}` as a string must be 'int2' to 'int8', got {spec!r}.")
        return int(match.group(1))
    check_integer(argument, spec, minimum=2, maximum=8)
    return int(spec)


def _match(argument, spec, layers, refusal):
    chosen = {}
    patterns = [item for item in spec.items() if not _is_name(item[0])]
    names = [item for item in spec.items() if _is_name(item[0])]
    # Later entries overwrite earlier ones, and the first pattern and every name must prevail.
    for key, value in [*reversed(patterns), *names]:
        value = parse(f"{argument}[{key!r}]", value)
        found = [layer for path, layer in layers.items() if _matches(argument, key, path, layer)]
        if not found:
            raise ValueError(f"`{argument}`: no layer matches {key!r}. Layers: {list(layers)}.")
        for layer in found:
            reason = refusal(layer)
            if reason is None:
                chosen[id(layer)] = value
            elif _is_name(key) and value is not None:
                raise ValueError(f"`{argument}`: layer {key!r} cannot be quantized: {reason}.")
    return chosen


def _is_name(key):
    return isinstance(key, str) and not any(sign in key for sign in "*?[")


def _matches(argument, key, path, layer):
    if isinstance(key, re.Pattern):
        return key.search(path) is not None
    if not isinstance(key, str):
        raise TypeError(
            f"`{argument}` as a mapping takes layer names, glob patterns or re.Pattern as keys, "
            f"got {key!r}."
        )
    if _is_name(key):
        return key in (layer.name, path)
    return any(fnmatch.fnmatchcase(name, key) for name in (layer.name, path))
