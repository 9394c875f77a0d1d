"""Sharpness-aware minimization."""

from __future__ import annotations

import keras
from keras import ops

from keras_reweight.core.validation import check_boolean, check_number
from keras_reweight.sharpness._global_norm import scaled_to
from keras_reweight.sharpness.sharpness_rule import SharpnessRule


@keras.saving.register_keras_serializable(package="keras_reweight")
class SAM(SharpnessRule):
    """Follow the gradient of the worst neighbor, to first order.

    `e = rho * g / |g|` over all weights together, and the gradient at `w + e`. With
    `adaptive=True` (ASAM) distances are measured relative to the weights:
    `e = rho * T^2 g / |T g|` with `T = |w| + eta` for kernels, so that rescaling two layers against
    each other changes nothing; `T = 1` for vectors such as biases.

    Args:
        rho: Float > 0, the radius; for ASAM about ten times larger. Defaults to `0.05`.
        adaptive: Boolean. Defaults to `False`.
        eta: Float >= 0, of ASAM. Defaults to `0.01`.

    Returns:
        A rule for `SharpnessAware`.

    Raises:
        TypeError: If a number is none or `adaptive` not a boolean.
        ValueError: If `rho` is not positive or `eta` negative.

    Example:

    ```python
    import keras_reweight as kr

    rule = kr.sharpness.SAM(rho=0.5, adaptive=True)
    ```

    Reference:
        Foret et al., "Sharpness-Aware Minimization for Efficiently Improving Generalization", ICLR
        2021, arXiv 2010.01412, equation 2; Kwon et al., "ASAM", ICML 2021, arXiv 2102.11600.
    """

    def __init__(self, rho: float = 0.05, *, adaptive: bool = False, eta: float = 0.01):
        check_number("rho", rho, exclusive_minimum=0.0)
        check_boolean("adaptive", adaptive)
        check_number("eta", eta, minimum=0.0)
        self.rho = rho
        self.adaptive = adaptive
        self.eta = eta

    def neighbor(self, values, gradients):
        scales = [self._scale(value) for value in values]
        steps = [g if t is None else t * g for t, g in zip(scales, gradients, strict=True)]
        steps = scaled_to(steps, self.rho)
        steps = [e if t is None else t * e for t, e in zip(scales, steps, strict=True)]
        return [value + step for value, step in zip(values, steps, strict=True)]

    def _scale(self, value):
        kernel = self.adaptive and len(value.shape) > 1
        return ops.abs(value) + self.eta if kernel else None

    def get_config(self) -> dict:
        return {"rho": self.rho, "adaptive": self.adaptive, "eta": self.eta}
