"""What users give for the weights or inputs of a layer: a quantizer, a dict of them or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from keras_compress.quantizers.quantizer import Quantizer

Given = Quantizer | Mapping[str, Quantizer] | None


def given_values(given: Given) -> list[Quantizer]:
    """The quantizers in `given`."""
    if given is None:
        return []
    return list(given.values()) if isinstance(given, Mapping) else [given]


def check_quantizers(argument: str, given: Any, *, of_activations: bool = False) -> None:
    """Raise unless `given` is one of the kinds of `Given`."""
    for one in given_values(given):
        if not isinstance(one, Quantizer):
            raise TypeError(
                f"`{argument}` must be a keras_compress Quantizer, a dict of them or None, got "
                f"{one!r} of type {type(one).__name__}. For plain bit widths use "
                "`quantize_aware(model)`."
            )
        if of_activations and not one.supports_activations:
            raise ValueError(
                f"`{argument}`: {type(one).__name__} is for weights only. Use LSQQuantizer."
            )


def by_name(argument: str, given: Given, known: Mapping[str, Any]) -> dict[str, Quantizer]:
    """Name -> quantizer, for those of `known` that `given` is about, in the order of `known`."""
    if not isinstance(given, Mapping):
        return {} if given is None else dict.fromkeys(known, given)
    if unknown := sorted(set(given) - set(known)):
        raise ValueError(f"`{argument}`: the layer has no {unknown}, only {list(known)}.")
    return {name: given[name] for name in known if name in given}


def merged(by_name: Mapping[str, Quantizer], names: list[str]) -> Given:
    """The shortest form of quantizers of some of the `names`: one, if it is all the same."""
    quantizers = list(by_name.values())
    if not quantizers:
        return None
    if len(by_name) == len(names) and all(one is quantizers[0] for one in quantizers):
        return quantizers[0]
    return dict(by_name)


def working_copy(quantizer: Quantizer, axis: Any, name: str) -> Quantizer:
    """A fresh quantizer with another `axis` and name."""
    config = {**quantizer.get_config(), "axis": axis, "name": layer_name(name)}
    return type(quantizer).from_config(config)


def with_bits(given: Any, bits: int) -> Any:
    """Copies of the quantizers in `given` with other bits."""
    if given is None:
        return None
    if isinstance(given, Mapping):
        return {name: with_bits(one, bits) for name, one in given.items()}
    return type(given).from_config({**given.get_config(), "bits": bits})


def layer_name(name: str) -> str:
    """`name` without what Keras does not allow in names of layers."""
    return name.replace("/", "_").lstrip("_")


def serialized(given: Given) -> Any:
    """`given` as JSON."""
    if isinstance(given, Mapping):
        return {name: serialized(one) for name, one in given.items()}
    return None if given is None else keras.saving.serialize_keras_object(given)


def deserialized(config: Any, custom_objects: dict | None) -> Any:
    """The inverse of `serialized`, also of other serialized objects."""
    if not isinstance(config, dict):
        return config
    if "class_name" in config:
        return keras.saving.deserialize_keras_object(config, custom_objects=custom_objects)
    return {name: deserialized(one, custom_objects) for name, one in config.items()}
