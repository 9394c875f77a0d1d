"""A penalty on the length of the gradient."""

from __future__ import annotations

import keras

from keras_reweight.core.validation import check_number
from keras_reweight.sharpness._global_norm import scaled_to
from keras_reweight.sharpness.sharpness_rule import SharpnessRule


@keras.saving.register_keras_serializable(package="keras_reweight")
class GradientNorm(SharpnessRule):
    """Minimize the loss and the length of its gradient.

    The gradient of `L + penalty * |grad L|` has a Hessian in it; by a difference of gradients, with
    `g` at the weights and `g'` at `radius * g / |g|` beyond,

    `g + penalty / radius * (g' - g)`.

    `penalty = radius` is `SAM`; smaller penalties are milder. For a quadratic loss the difference
    is exact. No second derivatives are taken, so that normalization layers do no harm.

    Args:
        penalty: Float > 0, weight of the length. Defaults to `0.01`.
        radius: Float > 0. Defaults to `0.05`.

    Returns:
        A rule for `SharpnessAware`.

    Raises:
        TypeError: If an argument is not a number.
        ValueError: If one is not positive.

    Example:

    ```python
    import keras_reweight as kr

    rule = kr.sharpness.GradientNorm(penalty=0.02, radius=0.05)
    ```

    Reference:
        Zhao, Zhang and Hu, "Penalizing Gradient Norm for Efficiently Improving Generalization in
        Deep Learning", ICML 2022, arXiv 2202.03599, equation 8.
    """

    def __init__(self, penalty: float = 0.01, *, radius: float = 0.05):
        check_number("penalty", penalty, exclusive_minimum=0.0)
        check_number("radius", radius, exclusive_minimum=0.0)
        self.penalty = penalty
        self.radius = radius

    def neighbor(self, values, gradients):
        steps = scaled_to(gradients, self.radius)
        return [value + step for value, step in zip(values, steps, strict=True)]

    def combine(self, gradients, neighbor_gradients):
        share = self.penalty / self.radius
        pairs = zip(gradients, neighbor_gradients, strict=True)
        return [(1.0 - share) * here + share * there for here, there in pairs]

    def get_config(self) -> dict:
        return {"penalty": self.penalty, "radius": self.radius}
