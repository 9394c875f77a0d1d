"""What weightings made of other weightings share."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_reweight.weightings._masked import uniform_weights
from keras_reweight.weightings.weighting import Weighting


def check_weighting(name: str, value: Any) -> None:
    """Raise unless `value` is a `Weighting`."""
    if not isinstance(value, Weighting):
        raise TypeError(
            f"`{name}` must be a keras_reweight.weightings.Weighting, got {value!r} of type "
            f"{type(value).__name__}."
        )


def unit_weights(weighting: Weighting, losses, valid, y_true, y_pred, step):
    """Weights in the scale in which a uniform weighting gives 1 to every entry that counts."""
    weights = weighting(losses, y_true, y_pred, valid, step)
    if weighting.normalization != "sum_one":
        return weights
    return weights * ops.sum(ops.cast(valid, weights.dtype))


class WeightingWrapper(Weighting):
    """A weighting with another one inside, whose needs and normalization it takes over.

    The inner weighting is called as a user would call it, so it masks and stops gradients itself.
    """

    def __init__(self, weighting: Weighting):
        check_weighting("weighting", weighting)
        self.weighting = weighting
        self.normalization = weighting.normalization
        self.reads = tuple(weighting.reads)
        self.stop_gradient = weighting.stop_gradient
        self.weighs_steps = weighting.weighs_steps

    def uniform(self, valid, like):
        """Equal weights in the normalization of the inner weighting."""
        return uniform_weights(valid, self.normalization, like.dtype)

    def get_config(self) -> dict:
        return {"weighting": keras.saving.serialize_keras_object(self.weighting)}

    @classmethod
    def from_config(cls, config: dict):
        weighting = keras.saving.deserialize_keras_object(config["weighting"])
        return cls(**{**config, "weighting": weighting})
