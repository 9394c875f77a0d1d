"""Adversarial training that keeps the features of classes apart."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_reweight.adversarial.madry import Madry
from keras_reweight.adversarial.robust_objective import RobustObjective, RobustTerm
from keras_reweight.core.validation import check_number
from keras_reweight.losses.feature_separation import separations


@keras.saving.register_keras_serializable(package="keras_reweight")
class SRAT(RobustObjective):
    """Another objective, and separation of the features of the adversarial inputs by class.

    For classes of very different size: adversarial training gives up the rare ones, and weights of
    classes hurt the frequent ones, because features under attack overlap. The objective adds
    `strength` times `kr.losses.FeatureSeparationLoss` of the features. The weights of the paper are
    those of the effective number of samples from a later step on (deferred reweighting, see the
    example); they act on `base`, not on the separation, and `normalization="mean_one"` keeps the
    scales of the two. Batches need several samples of most classes: 64 or more.

    Args:
        base: `RobustObjective`. Defaults to `None`, `Madry()`.
        strength: Float >= 0, factor of the separation. Defaults to `0.5`.
        temperature: Float > 0, that of the separation. Defaults to `0.1`.
        features: Name or path of the layer whose outputs are the features, flattened, or `None`:
            what goes into the last layer with weights. Name it for subclassed models that make
            their layers in another order than they call them. Defaults to `None`.

    Returns:
        The objective, for `AdversarialTraining`; the terms of `base` and one unweighted term.

    Raises:
        TypeError: If `base` is no objective, or a number is of another type.
        ValueError: If a number is out of its range, `base` reads features itself, or `features`
            names no layer of the trained model.

    Example:

    ```python
    import keras
    import keras_reweight as kr

    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(2)]
    )
    class_balanced = kr.weightings.ClassBalanced(
        [900, 100], beta=0.999, normalization="mean_one"
    )
    trainer = kr.adversarial.AdversarialTraining(
        model,
        kr.attacks.PGD(0.1),
        objective=kr.adversarial.SRAT(strength=0.5),
        weighting=kr.weightings.WarmUp(class_balanced, steps=500),
    )
    ```

    Reference:
        Wang et al., "Imbalanced Adversarial Training with Reweighting", ICDM 2022, arXiv
        2107.13639, section 4.

    Deviations:
        No code of the authors is public: `strength` and `temperature` are ours, and the mean over
        anchors leaves out those that are alone with their class in the batch.

    Cost:
        That of `base` and one product of the features with themselves.
    """

    needs_features = True

    def __init__(
        self,
        base: RobustObjective | None = None,
        *,
        strength: float = 0.5,
        temperature: float = 0.1,
        features: Any = None,
    ):
        chosen = Madry() if base is None else base
        if not isinstance(chosen, RobustObjective):
            raise TypeError(
                f"`base` must be a RobustObjective, got {base!r} of type {type(base).__name__}."
            )
        if chosen.needs_features:
            raise ValueError(f"`base`={base!r} reads features itself; use one such objective.")
        check_number("strength", strength, minimum=0.0)
        check_number("temperature", temperature, exclusive_minimum=0.0)
        self.base = base
        self.strength = strength
        self.temperature = temperature
        self.features = features

    @property
    def needs_clean(self) -> bool:  # type: ignore[override]
        return self._base().needs_clean

    def terms(self, loss, y, clean, adversarial, features=None):
        anchors_of = ops.ones_like(features[:, 0], dtype="bool")
        values, anchors = separations(y, features, anchors_of, self.temperature)
        share = ops.mean(ops.cast(anchors, values.dtype))
        # The mean over the batch is then that over the anchors.
        values = values / ops.where(share > 0, share, ops.ones_like(share))
        separation = RobustTerm(self.strength * values, weighted=False)
        return [*self._base().terms(loss, y, clean, adversarial), separation]

    def _base(self):
        return Madry() if self.base is None else self.base

    def get_config(self) -> dict:
        return {
            "base": keras.saving.serialize_keras_object(self.base),
            "strength": self.strength,
            "temperature": self.temperature,
            "features": self.features,
        }

    @classmethod
    def from_config(cls, config: dict):
        return cls(**{**config, "base": keras.saving.deserialize_keras_object(config["base"])})
