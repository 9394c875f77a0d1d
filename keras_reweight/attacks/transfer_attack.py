"""Attacks made on another model."""

from __future__ import annotations

import keras

from keras_reweight.attacks.attack import Attack
from keras_reweight.core.forward import predictions_of
from keras_reweight.core.no_config import NoConfig
from keras_reweight.core.validation import check_built


class TransferAttack(Attack):
    """Attacks one model with what an attack finds on another.

    Two uses: how far does an attacker get who does not know the model; and does the model hide its
    gradients: an attack that follows them must do at least as well as one that does not
    (`evaluate_robust` warns otherwise). As a source take a model of the same task trained without
    defence, and one with another seed. Inside `AdversarialTraining` it gives the model inputs
    against which it need not hide.

    Args:
        attack: `Attack`.
        source_model: A built `keras.Model` with the inputs and outputs of the attacked one.

    Returns:
        Called with a model and arrays: adversarial inputs, float array of the shape of `x`, the
        same for every model but for labels that are not given, which the model predicts.

    Raises:
        TypeError: If `attack` is no attack or `source_model` no model.
        ValueError: If `source_model` is not built.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    def network():
        return keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])

    x, y = np.full((8, 4), 0.5, "float32"), np.arange(8) % 3
    attack = kr.attacks.TransferAttack(kr.attacks.PGD(0.1, steps=3), network())
    adversarial = attack(network(), x, y)
    ```

    Reference:
        Papernot et al., "Practical Black-Box Attacks against Machine Learning", 2017, arXiv
        1602.02697; as a check: Athalye et al., "Obfuscated Gradients Give a False Sense of
        Security", ICML 2018, arXiv 1802.00420, section 3.1; in training: Tramer et al., "Ensemble
        Adversarial Training", ICLR 2018, arXiv 1705.07204.

    Cost:
        That of the attack on the source.
    """

    get_config = NoConfig("it holds a model")

    def __init__(self, attack: Attack, source_model: keras.Model):
        if not isinstance(attack, Attack):
            raise TypeError(
                f"`attack` must be an Attack, got {attack!r} of type {type(attack).__name__}."
            )
        check_built(source_model, type(self).__name__, "source_model")
        self.attack = attack
        self.source_model = source_model

    def search(self, predict, x, y, counter=0):
        return self.attack.search(
            lambda inputs: predictions_of(self.source_model, inputs), x, y, counter
        )

    def read_variables(self, model):
        return [*model.variables, *self.source_model.variables]

    def __repr__(self) -> str:
        return f"TransferAttack({self.attack!r}, source_model={self.source_model.name!r})"
