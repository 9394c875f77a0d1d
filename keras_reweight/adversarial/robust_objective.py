"""The interface of the objectives of adversarial training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from keras_reweight.core.configured import Configured


class RobustTerm(NamedTuple):
    """One part of the objective of adversarial training.

    Return a list of them from `RobustObjective.terms`.

    Args:
        values: Float tensor of shape `(batch,)`.
        weighted: Boolean, whether the weights of the samples act on it.

    Returns:
        A tuple with these fields.

    Raises:
        TypeError: If a field is missing or unknown.

    Example:

    ```python
    from keras import ops
    import keras_reweight as kr

    term = kr.adversarial.RobustTerm(ops.ones((8,)), weighted=True)
    ```

    Reference:
        None; a part of `RobustObjective`.
    """

    values: Any
    weighted: bool


class RobustObjective(Configured):
    """Base of what adversarial training minimizes: stateless and serializable.

    Derive from it for an objective of your own. A subclass defines
    `terms(loss, y, clean, adversarial)` and says with `needs_clean` whether the
    model has to see the clean inputs as well. The terms are added up for every sample. With
    `needs_features`, `terms` gets one argument more: what the layer that the attribute `features`
    names gives at the adversarial inputs, as in `SRAT`.

    Args:
        loss: Function `(y, y_pred) -> (batch,)`, the compiled loss before reduction.
        y: Targets of the batch.
        clean: Predictions in training mode at the inputs, or `None` without `needs_clean`.
        adversarial: Predictions in training mode at the adversarial inputs.
        features: With `needs_features`: float tensor of shape `(batch, features)`.

    Returns:
        `terms` gives a list of `RobustTerm`.

    Raises:
        NotImplementedError: If a subclass has no `terms`.

    Example:

    ```python
    import keras_reweight as kr

    class Half(kr.adversarial.RobustObjective):
        needs_clean = True

        def terms(self, loss, y, clean, adversarial):
            values = 0.5 * (loss(y, clean) + loss(y, adversarial))
            return [kr.adversarial.RobustTerm(values, weighted=True)]
    ```

    Reference:
        None; the interface all objectives share. Half of each is that of Goodfellow et al.,
        "Explaining and Harnessing Adversarial Examples", ICLR 2015, arXiv 1412.6572.
    """

    #: Whether `terms` reads `clean`, at the price of another forward and backward pass.
    needs_clean: bool = False
    #: Whether `terms` gets `features=`.
    needs_features: bool = False
    #: The layer whose outputs they are; `None` stands for what goes into the last one.
    features: Any = None

    def terms(
        self, loss: Callable[[Any, Any], Any], y: Any, clean: Any, adversarial: Any
    ) -> list[RobustTerm]:
        raise NotImplementedError(f"{type(self).__name__} must define terms(...).")
