"""The interface of what weighs several losses."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from keras_reweight.core.configured import Configured

NEEDS = ("gram", "magnitudes")


class TaskStatistics(NamedTuple):
    """What a balancer sees of a step.

    Of `K` losses; all of it is constant for gradients. Make one to try a balancer by hand.

    Args:
        losses: Float32 tensor of shape `(K,)`.
        gram: Float32 tensor of shape `(K, K)`, inner products of the gradients by the shared
            variables; `None` unless the balancer needs `"gram"`.
        largest: Float32 tensor of shape `(K, kernels)`, the largest absolute entry of each gradient
            in each shared kernel; `None` unless it needs `"magnitudes"`.
        mean: Float32 tensor of shape `(K, kernels)`, the mean absolute entry.
        step: Int32 tensor of shape `()`, updates of the optimizer so far.
        epoch: Int32 tensor of shape `()`, the epoch of `fit`, from zero.

    Returns:
        A tuple with these fields.

    Raises:
        TypeError: If a field is missing or unknown.

    Example:

    ```python
    import numpy as np
    from keras import ops
    import keras_reweight as kr

    losses, gram = ops.ones((2,)), ops.convert_to_tensor([[1.0, -1.0], [-1.0, 2.0]])
    statistics = kr.tasks.TaskStatistics(losses, gram, None, None, ops.zeros((), "int32"), 0)
    weights, _ = kr.tasks.PCGrad().weights(statistics, {})
    np.testing.assert_allclose(weights, [2.0, 1.5])
    ```

    Reference:
        None; what `TaskBalancer.weights` gets.
    """

    losses: Any
    gram: Any
    largest: Any
    mean: Any
    step: Any
    epoch: Any


class TaskBalancer(Configured):
    """Base of balancers: stateless and serializable, from statistics of the losses to weights.

    What a balancer remembers it gets as `state`, float32 tensors whose first values `initial`
    gives, and returns changed: it is kept in variables of the model that trains. Everything in
    `weights` is `keras.ops` without Python branches on values.

    Args:
        statistics: `TaskStatistics` of this step.
        state: Dict of float32 tensors.

    Returns:
        `weights` gives a pair: float32 tensor of shape `(K,)`, which multiplies the gradients, and
        the new state with the same keys.

    Raises:
        NotImplementedError: If a subclass has no `weights`.

    Example:

    ```python
    import numpy as np
    from keras import ops
    import keras_reweight as kr

    class Smoothed(kr.tasks.TaskBalancer):
        def initial(self, num_tasks):
            return {"average": np.ones(num_tasks, "float32")}

        def weights(self, statistics, state):
            average = 0.9 * state["average"] + 0.1 * statistics.losses
            return 1.0 / average, {"average": average}
    ```

    Reference:
        None; the interface all balancers share. That conflict-averse methods are functions of the
        inner products alone follows Quinton and Rey, "Jacobian Descent for Multi-Objective
        Optimization", arXiv 2406.16232.
    """

    #: Of `"gram"` and `"magnitudes"`; the gradient of every loss is computed if there is any.
    needs: tuple[str, ...] = ()

    def initial(self, num_tasks: int) -> dict[str, np.ndarray]:
        """First values of what is remembered."""
        del num_tasks
        return {}

    def learned(self, num_tasks: int) -> dict[str, np.ndarray]:
        """First values of what the compiled optimizer trains together with the model.

        A balancer that has any defines `combined`, and finds them in `state` for its `weights`.
        """
        del num_tasks
        return {}

    def combined(self, losses: Any, learned: dict[str, Any]) -> Any:
        """The scalar that is minimized, by the model and by what is learned."""
        raise NotImplementedError(f"{type(self).__name__} must define combined(...).")

    def weights(
        self, statistics: TaskStatistics, state: dict[str, Any]
    ) -> tuple[Any, dict[str, Any]]:
        """Weights of the losses, and the new state."""
        raise NotImplementedError(f"{type(self).__name__} must define weights(...).")

    def check(self, num_tasks: int) -> None:
        """Raise unless the balancer fits so many losses."""
        del num_tasks
