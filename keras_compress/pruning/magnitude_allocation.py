"""The `scope` argument of magnitude pruning."""

from __future__ import annotations

from keras_compress.pruning.allocations.allocation import Allocation
from keras_compress.pruning.allocations.global_allocation import GlobalAllocation
from keras_compress.pruning.allocations.uniform_allocation import UniformAllocation
from keras_reweight.core.validation import check_choice

_SCOPES = {"global": GlobalAllocation, "layer": UniformAllocation}


def magnitude_allocation(scope: str, min_keep: float) -> Allocation:
    """The allocation a scope name stands for."""
    check_choice("scope", scope, _SCOPES)
    return _SCOPES[scope](min_keep=min_keep)
