"""Several weightings multiplied."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from keras_reweight.core.validation import check_choice
from keras_reweight.weightings._masked import NORMALIZATIONS, normalized
from keras_reweight.weightings._wrapper import check_weighting, unit_weights
from keras_reweight.weightings.weighting import Weighting


@keras.saving.register_keras_serializable(package="keras_reweight")
class Product(Weighting):
    """The product of several weightings.

    Use it to combine reasons for a weight that do not know of each other: the class of a sample and
    its loss, its margin and its energy.

    Every factor is brought to the scale in which uniform weights are 1 (weights that sum to one
    are multiplied by the size of the batch); the product of the factors is then normalized. Where
    it is zero for the whole batch, normalized weights are uniform.

    Args:
        weightings: List of one or more `Weighting` objects.
        normalization: `"mean_one"`, `"sum_one"` or `None` for the raw product. Defaults to
            `"mean_one"`.

    Returns:
        Called with losses of shape `(batch,)`: float32 weights of shape `(batch,)`, normalized as
        `normalization` says.

    Raises:
        TypeError: If `weightings` is no list of `Weighting` objects.
        ValueError: If `weightings` is empty or `normalization` is unknown; on a call, what one of
            them raises.

    Example:

    ```python
    import numpy as np
    import keras_reweight as kr

    weighting = kr.weightings.Product([kr.weightings.LinUpper(0.4), kr.weightings.Energy()])
    losses, logits = np.array([0.5, 2.0, 1.0]), np.eye(3, dtype="float32")
    weights = weighting(losses, y_pred=logits)
    ```

    Reference:
        None; container of weightings.

    Cost:
        That of the factors.
    """

    normalization: str | None = "mean_one"

    def __init__(self, weightings: Sequence[Weighting], *, normalization: str | None = "mean_one"):
        if not isinstance(weightings, (list, tuple)):
            raise TypeError(
                f"`weightings` must be a list of weightings, got {weightings!r} of type "
                f"{type(weightings).__name__}."
            )
        if not weightings:
            raise ValueError(f"`weightings` must not be empty, got {weightings!r}.")
        for weighting in weightings:
            check_weighting("weightings", weighting)
        check_choice("normalization", normalization, NORMALIZATIONS)
        self.weightings = weightings
        self.normalization = normalization
        self.reads = tuple(dict.fromkeys(name for w in weightings for name in w.reads))
        # The factors that stop it do so themselves.
        self.stop_gradient = all(weighting.stop_gradient for weighting in weightings)
        # The other factors are then those that read labels and predictions alone.
        self.weighs_steps = any(weighting.weighs_steps for weighting in weightings)

    def weights(self, losses, valid, y_true=None, y_pred=None, step=None):
        arguments = (losses, valid, y_true, y_pred, step)
        found = unit_weights(self.weightings[0], *arguments)
        for weighting in self.weightings[1:]:
            found = found * unit_weights(weighting, *arguments)
        return normalized(found, valid, self.normalization)

    def get_config(self) -> dict:
        return {
            "weightings": [keras.saving.serialize_keras_object(w) for w in self.weightings],
            "normalization": self.normalization,
        }

    @classmethod
    def from_config(cls, config: dict):
        weightings = [keras.saving.deserialize_keras_object(w) for w in config["weightings"]]
        return cls(**{**config, "weightings": weightings})
