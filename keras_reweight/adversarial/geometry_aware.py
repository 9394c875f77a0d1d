"""Weights from how many steps an attack needs."""

from __future__ import annotations

import keras
from keras import ops

from keras_reweight.core.validation import check_choice, check_integer, check_number
from keras_reweight.weightings._masked import normalized
from keras_reweight.weightings.weighting import Weighting

KINDS = ("tanh", "sigmoid", "discrete")


@keras.saving.register_keras_serializable(package="keras_reweight")
class GeometryAware(Weighting):
    """GAIRAT: samples that an attack turns within few steps count more.

    They are near the decision boundary. With `k_i`, before how many of the `K` steps of `PGD` the
    sample was still right, `a = shift + 5 (K // 2 - k_i) / (K // 2)` and `w = (tanh(a) + 1) / 2`,
    or `sigmoid(a)`, or for `"discrete"` `(K + 1 - k_i) / (K + 1)`; then the mean weight of a
    batch is made one. The paper starts them in the middle of the training: put it into `WarmUp`.

    What these weights gain against the attack they were trained with is in part lost under attacks
    that rescale logits: evaluate with `AttackLoss("margin")`.

    Args:
        steps: Integer >= 2, the steps `K` of the attack. Defaults to `10`.
        shift: Float; larger is closer to equal weights. Defaults to `-1.0`.
        kind: `"tanh"`, `"sigmoid"` or `"discrete"`. Defaults to `"tanh"`.

    Returns:
        Called with numbers of steps of shape `(batch,)`: float32 weights of shape `(batch,)` with a
        mean of one. `AdversarialTraining` hands over the numbers.

    Raises:
        TypeError: If `steps` is not an integer or `shift` not a number.
        ValueError: If `steps < 2` or `kind` is unknown.

    Example:

    ```python
    import numpy as np
    import keras_reweight as kr

    weighting = kr.adversarial.GeometryAware(steps=10)
    weights = weighting(np.array([0.0, 5.0, 10.0], "float32"))
    ```

    Reference:
        Zhang et al., "Geometry-aware Instance-reweighted Adversarial Training", ICLR 2021, arXiv
        2010.01736, equation 6; constants of its code.

    Cost:
        None besides the attack.
    """

    normalization = "mean_one"
    #: `AdversarialTraining` hands over steps in place of losses.
    weighs_steps = True

    def __init__(self, steps: int = 10, *, shift: float = -1.0, kind: str = "tanh"):
        check_integer("steps", steps, minimum=2)
        check_number("shift", shift)
        check_choice("kind", kind, KINDS)
        self.steps = steps
        self.shift = shift
        self.kind = kind

    def weights(self, losses, valid, y_true=None, y_pred=None, step=None):
        if self.kind == "discrete":
            found = (self.steps + 1.0 - losses) / (self.steps + 1.0)
        else:
            half = self.steps // 2
            score = self.shift + 5.0 * (half - losses) / half
            # (tanh(a) + 1) / 2 is sigmoid(2 a), which does not cancel for very negative a.
            found = ops.sigmoid(2.0 * score if self.kind == "tanh" else score)
        return normalized(found, valid, self.normalization)

    def get_config(self) -> dict:
        return {"steps": self.steps, "shift": self.shift, "kind": self.kind}
