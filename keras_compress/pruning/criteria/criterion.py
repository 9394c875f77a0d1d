"""Base of what decides which weights matter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import keras
import numpy as np
from keras import ops

from keras_reweight.core.configured_value import ConfiguredValue


class CriterionMemory(Protocol):
    """Scores that grow inside the train step; its arrays belong to the state of the callback."""

    def scores(self) -> list[np.ndarray]: ...

    def get_state(self) -> dict[str, np.ndarray]: ...

    def set_state(self, state: dict[str, np.ndarray]) -> None: ...

    def remove(self) -> None: ...


class Criterion(ConfiguredValue):
    """Scores weights: where a model is pruned, the lowest scores go first.

    A criterion that looks at the weights alone defines `score`; one that needs gradients or
    activations overrides `scores`; one that watches the training steps makes a `memory`. Criteria
    are stateless, know nothing of sparsity levels, layers or callbacks, and are stored in configs.

    Args:
        None.

    Returns:
        An object whose `scores(model, variables)` gives one float array, of the shape of the
        variable, for each variable.

    Raises:
        ValueError: In `scores`, if a weight is NaN.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_compress.pruning import Criterion, prune_weights

    class Centered(Criterion):
        def score(self, weight):
            return np.abs(weight - weight.mean())

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8)])
    prune_weights(model, 0.5, criterion=Centered())
    ```

    Reference:
        None; the base class of criteria.
    """

    def score(self, weight: np.ndarray) -> np.ndarray:
        raise NotImplementedError(f"{type(self).__name__} must define score(weight).")

    def scores(self, model: keras.Model, variables: Sequence[keras.Variable]) -> list[np.ndarray]:
        """Scores of `variables` of `model`; NaN weights have no rank and are refused."""
        return [self.score(host_value(variable)) for variable in variables]

    def memory(
        self, model: keras.Model, variables: Sequence[keras.Variable], name: str
    ) -> CriterionMemory | None:
        """What is gathered in the steps of one `fit`; `None` for all that only look at the model.

        Args:
            model: The compiled model.
            variables: The variables that are pruned.
            name: String, unique in the model, for names of variables.
        """
        return None


def host_value(variable: keras.Variable) -> np.ndarray:
    """A weight as a float32 or float64 array.

    Raises:
        ValueError: If it holds NaN.
    """
    value = np.asarray(ops.convert_to_numpy(ops.convert_to_tensor(variable)))
    # NumPy has no bfloat16 arithmetic of its own, and float16 overflows in sums and squares.
    value = value if value.dtype == np.float64 else value.astype(np.float32)
    if np.isnan(value).any():
        raise ValueError(
            f"{variable.path!r} holds NaN, so its weights cannot be ranked. Training has diverged."
        )
    return value
