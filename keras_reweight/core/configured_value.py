"""What criteria, allocations, solvers and schedules share: equal configs, equal objects."""

from __future__ import annotations

from keras_reweight.core.configured import Configured


class ConfiguredValue(Configured):
    """A stateless object that equals those of its class with the same config."""

    def __eq__(self, other) -> bool:
        return type(self) is type(other) and self.get_config() == other.get_config()

    def __hash__(self) -> int:
        # Not of the values: lists have none, and 1 and 1.0 are equal.
        return hash((type(self), *sorted(self.get_config())))
