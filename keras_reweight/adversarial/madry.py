"""Plain adversarial training."""

from __future__ import annotations

import keras

from keras_reweight.adversarial.robust_objective import RobustObjective, RobustTerm


@keras.saving.register_keras_serializable(package="keras_reweight")
class Madry(RobustObjective):
    """The compiled loss at the adversarial inputs.

    The first thing to try, and the only objective for regression; its clean accuracy is the lowest.

    Args:
        None.

    Returns:
        The objective, for `AdversarialTraining`; one weighted term.

    Raises:
        TypeError: If there are arguments; it has none.

    Example:

    ```python
    import keras
    import keras_reweight as kr

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    trainer = kr.adversarial.AdversarialTraining(
        model, kr.attacks.PGD(0.1), objective=kr.adversarial.Madry()
    )
    ```

    Reference:
        Madry et al., "Towards Deep Learning Models Resistant to Adversarial Attacks", ICLR 2018,
        arXiv 1706.06083, equation 2.1.
    """

    def terms(self, loss, y, clean, adversarial):
        return [RobustTerm(loss(y, adversarial), weighted=True)]
