"""Sample ids and group ids travelling through `fit` beside the targets."""

from __future__ import annotations

from typing import Any

TARGETS = "targets"
AUX_KEYS = ("sample_id", "group")


def is_packed(y: Any) -> bool:
    """Whether `y` is a dict of targets with at least one auxiliary column."""
    return (
        isinstance(y, dict)
        and TARGETS in y
        and len(y) > 1
        and all(key == TARGETS or key in AUX_KEYS for key in y)
    )


def weights_of_targets(sample_weight: Any, aux: dict[str, Any]) -> Any:
    """The weights that belong to the targets: Keras repeats one array for every part of `y`."""
    if aux and isinstance(sample_weight, dict) and set(sample_weight) == {TARGETS, *aux}:
        return sample_weight[TARGETS]
    return sample_weight


def split_targets(y: Any) -> tuple[Any, dict[str, Any]]:
    """Targets and auxiliary columns; plain targets come back unchanged with an empty dict."""
    if not is_packed(y):
        return y, {}
    return y[TARGETS], {key: y[key] for key in AUX_KEYS if key in y}
