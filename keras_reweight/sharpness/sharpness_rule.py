"""The interface of steps that look at the gradient of a neighbor."""

from __future__ import annotations

from typing import Any

from keras_reweight.core.configured import Configured


class SharpnessRule(Configured):
    """Base of rules with two passes: where to look, and what to make of both gradients.

    Stateless and serializable; lists hold one tensor a trainable variable, in `keras.ops`.

    Args:
        values: List of tensors, the weights.
        gradients: List of tensors, the gradient of the loss there.
        neighbor_gradients: List of tensors, the gradient at the neighbor.

    Returns:
        `neighbor` gives the weights to look at, `combine` the gradient for the optimizer.

    Raises:
        NotImplementedError: If a subclass has no `neighbor`.

    Example:

    ```python
    import keras_reweight as kr

    class LookAhead(kr.sharpness.SharpnessRule):
        def neighbor(self, values, gradients):
            return [value - 0.1 * gradient for value, gradient in zip(values, gradients)]
    ```

    Reference:
        None; the interface all two-pass rules share.
    """

    def neighbor(self, values: list[Any], gradients: list[Any]) -> list[Any]:
        raise NotImplementedError(f"{type(self).__name__} must define neighbor(...).")

    def combine(self, gradients: list[Any], neighbor_gradients: list[Any]) -> list[Any]:
        """By default the gradient of the neighbor."""
        del gradients
        return neighbor_gradients
