"""The strongest of several attacks, sample by sample."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras
from keras import ops

from keras_reweight.attacks.attack import Attack, Attacked, worst
from keras_reweight.attacks.attack_loss import AttackLoss, as_attack_loss


@keras.saving.register_keras_serializable(package="keras_reweight")
class WorstOf(Attack):
    """Runs several attacks and keeps for each sample what hurts most.

    A sample counts as robust only where every attack fails, so put together what fails for
    different reasons: `APGD` with `"crossentropy"` and with `"dlr"`, two norms, a
    `TransferAttack`. Which result hurts most is decided by `loss` at what each has found; the
    sample itself is one of the choices, so that nothing gets better by an attack. On a tie the
    earlier one stays.

    Args:
        attacks: Sequence of one or more `Attack`s.
        loss: `AttackLoss` or its kind, or a function `(y_true, y_pred) -> (batch,)`, that compares.
            Defaults to `"margin"` of logits, which is positive where a sample is misclassified.

    Returns:
        Called with a model and arrays: adversarial inputs, float array of the shape of `x`.

    Raises:
        TypeError: If `attacks` is no sequence of attacks.
        ValueError: If `attacks` is empty or `loss` unknown.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    x, y = np.full((8, 4), 0.5, "float32"), np.arange(8) % 3
    both = kr.attacks.WorstOf([kr.attacks.FGSM(0.1), kr.attacks.PGD(0.1, steps=3)])
    adversarial = both(model, x, y)
    ```

    Reference:
        Croce and Hein, "Reliable evaluation of adversarial robustness with an ensemble of diverse
        parameter-free attacks", ICML 2020, arXiv 2003.01690, section 5; of norms: Maini et al.,
        "Adversarial Robustness Against the Union of Multiple Perturbation Models", ICML 2020,
        arXiv 1909.04068.

    Cost:
        That of the attacks, and a forward pass for each and for the sample.
    """

    def __init__(self, attacks: Sequence[Attack], *, loss: AttackLoss | str | Callable = "margin"):
        _check_attacks(attacks)
        as_attack_loss(loss)
        self.attacks = attacks
        self.loss = loss

    def search(self, predict, x, y, counter=0):
        loss = as_attack_loss(self.loss)
        x = ops.stop_gradient(x)
        y_clean = predict(x)

        def reached(moved):
            return ops.stop_gradient(loss(y, predict(moved), y_clean))

        found = [(Attacked(x), ops.stop_gradient(loss(y, y_clean, y_clean)))]
        for attack in self.attacks:
            moved = attack.search(predict, x, y, counter).x
            found.append((Attacked(moved), reached(moved)))
        return worst(found)

    def get_config(self) -> dict:
        return {
            "attacks": [keras.saving.serialize_keras_object(attack) for attack in self.attacks],
            "loss": keras.saving.serialize_keras_object(self.loss),
        }

    @classmethod
    def from_config(cls, config: dict):
        load = keras.saving.deserialize_keras_object
        return cls([load(attack) for attack in config["attacks"]], loss=load(config["loss"]))


def _check_attacks(attacks):
    if not isinstance(attacks, (list, tuple)) or not all(
        isinstance(attack, Attack) for attack in attacks
    ):
        raise TypeError(f"`attacks` must be a sequence of Attacks, got {attacks!r}.")
    if not attacks:
        raise ValueError("`attacks` must hold an attack, but it is empty.")
    blind = [attack for attack in attacks if not attack.searches_inputs]
    if blind:
        raise TypeError(
            f"`attacks`: {type(blind[0]).__name__} does not change inputs, so there is nothing to "
            "choose from. Put it around the others."
        )
