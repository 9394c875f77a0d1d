"""What is to shrink, and what every group of channels keeps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from keras_compress.structured.latency import Latency
from keras_reweight.core.validation import check_integer, check_number

COSTS = ("channels", "parameters", "macs")


@keras.saving.register_keras_serializable(package="keras_compress")
class ChannelBudget:
    """The `budget` of `prune_structured`: what the `ratio` is a share of, with limits.

    `"channels"` removes that share of the channels. For the other costs the share of channels is
    found by bisection, so that at most `1 - ratio` of the cost remains: in one pass over the graph
    for parameters and MACs, with a model built at each of some ten steps for the others. A model
    whose inputs have axes without a size needs a function that knows them, such as
    `lambda model: count_macs(model, (64, 64, 3)).macs`.

    Args:
        cost: `"channels"`, `"parameters"`, `"macs"`, a `Latency`, or a function `model -> number`.
            Defaults to `"channels"`.
        max_ratio: Float in `(0, 1]`, the largest share a group may lose. Defaults to `1.0`.
        min_channels: Integer >= 1, the least number of channels a group keeps. Defaults to `1`.

    Returns:
        A value object for `prune_structured`.

    Raises:
        ValueError: When used, if an argument is none of its choices or out of range.
        TypeError: When used, if an argument is of the wrong kind.

    Example:

    ```python
    import keras
    import keras_compress as kc

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(32), keras.layers.Dense(2)])
    budget = kc.structured.ChannelBudget("macs", max_ratio=0.9, min_channels=2)
    small = kc.prune_structured(model, 0.5, budget=budget)
    before, after = kc.analysis.count_macs(model), kc.analysis.count_macs(small)
    assert after.macs <= 0.5 * before.macs
    ```

    Reference:
        None; the knobs of a budget.
    """

    def __init__(
        self,
        cost: str | Callable[[keras.Model], float] = "channels",
        *,
        max_ratio: float = 1.0,
        min_channels: int = 1,
    ):
        self.cost = cost
        self.max_ratio = max_ratio
        self.min_channels = min_channels

    def check(self) -> None:
        """Raise for wrong arguments; the constructor only stores them."""
        if isinstance(self.cost, str):
            if self.cost not in COSTS:
                raise ValueError(
                    f"`cost` must be one of {COSTS}, a Latency or a function, got {self.cost!r}."
                )
        elif not callable(self.cost):
            raise TypeError(
                f"`cost` must be one of {COSTS}, a Latency or a function, got {self.cost!r} of "
                f"type {type(self.cost).__name__}."
            )
        if isinstance(self.cost, Latency):
            self.cost.check()
        check_number("max_ratio", self.max_ratio, exclusive_minimum=0.0, maximum=1.0)
        check_integer("min_channels", self.min_channels, minimum=1)

    def get_config(self) -> dict[str, Any]:
        return {
            "cost": self.cost,
            "max_ratio": self.max_ratio,
            "min_channels": self.min_channels,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> ChannelBudget:
        config = dict(config)
        if isinstance(config.get("cost"), dict):
            config["cost"] = keras.saving.deserialize_keras_object(config["cost"])
        return cls(**config)


def as_budget(budget: Any) -> ChannelBudget:
    """A checked `ChannelBudget` from what `prune_structured` takes."""
    if not isinstance(budget, ChannelBudget):
        if not (budget is None or callable(budget) or budget in COSTS):
            raise ValueError(
                f"`budget` must be one of {COSTS}, a function, a Latency or a ChannelBudget, got "
                f"{budget!r}."
            )
        budget = ChannelBudget("channels" if budget is None else budget)
    budget.check()
    return budget
