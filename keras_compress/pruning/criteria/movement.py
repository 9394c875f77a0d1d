"""Which weights training moves away from zero."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_compress.pruning.criteria.criterion import Criterion
from keras_reweight.core.masks import (
    add_optimizer_variable,
    remove_optimizer_variable,
    update_optimizer,
)
from keras_reweight.core.state import rebuild_step_functions, sync_model
from keras_reweight.core.update_hooks import add_update_hook, remove_update_hook
from keras_reweight.core.validation import check_boolean


@keras.saving.register_keras_serializable(package="keras_compress")
class Movement(Criterion):
    """Score a weight by how far the gradient has pushed it away from zero while training.

    `s = -sum over steps of rate * w * g`: a weight that gradient descent makes larger scores high,
    one that it shrinks scores low, however large it still is. The sum grows inside the compiled
    train step while `Pruning` is attached. For fine-tuning a pretrained model on a new task under a
    gradual schedule, where magnitudes tell of the old one; rank each layer by itself
    (`UniformAllocation`), as the paper does. Not for training from scratch, nor for pruning without
    training: it needs steps before the first weight goes. As long as there have been none, weights
    are ranked by magnitude.

    Args:
        scale_by_learning_rate: Whether `rate` is the learning rate of the step, and not one.
            Defaults to `True`.

    Returns:
        A `Criterion` for `Pruning`.

    Raises:
        TypeError: If `scale_by_learning_rate` is not a bool.
        ValueError: In `scores`, because without training there is no movement; in `fit`, if the
            optimizer has several learning rates.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_compress as kc

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(16), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    x = np.random.default_rng(0).normal(size=(32, 8)).astype("float32")
    pruning = kc.callbacks.Pruning(
        kc.schedules.PolynomialDecay(0.0, 0.5, end_step=6),
        criterion=kc.pruning.Movement(),
        allocation=kc.pruning.UniformAllocation(),
        frequency=2,
    )
    model.fit(x, x[:, :1], batch_size=8, epochs=2, verbose=0, callbacks=[pruning])
    assert kc.sparsity_report(model).sparsity == 0.5
    ```

    Reference:
        Sanh, Wolf and Rush, "Movement Pruning: Adaptive Sparsity by Fine-Tuning", NeurIPS 2020,
        arXiv 2005.07683, section 3; official code github.com/huggingface/block_movement_pruning.

    Deviations:
        In the official straight-through version the score is a parameter with an optimizer of its
        own, and a masked weight keeps its value: its score goes on moving, so it may come back.
        Here a masked weight is zero, its score stands still, and it comes back only if the
        schedule falls. Soft thresholds are not offered.

    Cost:
        One float32 number a weight and one multiplication in every step.
    """

    def __init__(self, scale_by_learning_rate: bool = True):
        check_boolean("scale_by_learning_rate", scale_by_learning_rate)
        self.scale_by_learning_rate = scale_by_learning_rate

    def scores(self, model: keras.Model, variables: Sequence[keras.Variable]) -> list[np.ndarray]:
        raise ValueError(
            "Movement scores come from training steps: use it as `criterion` of `Pruning` in `fit`."
        )

    def memory(
        self, model: keras.Model, variables: Sequence[keras.Variable], name: str
    ) -> _MovementMemory:
        return _MovementMemory(model, variables, name, self.scale_by_learning_rate)

    def get_config(self):
        return {"scale_by_learning_rate": self.scale_by_learning_rate}


class _MovementMemory:
    """The sums of the variables, as variables of the optimizer."""

    def __init__(self, model, variables, name, by_rate):
        self._model, self._variables = model, list(variables)
        self._optimizer = update_optimizer(model)
        self._by_rate = by_rate
        if by_rate and not hasattr(self._optimizer, "learning_rate"):
            raise ValueError(
                "`scale_by_learning_rate`=True, but the optimizer has no learning rate that holds "
                "for all weights. Use False."
            )
        sync_model(model)
        self._sums = [
            add_optimizer_variable(
                self._optimizer,
                np.zeros(tuple(variable.shape), "float32"),
                name=f"{name}_movement_{position}",
            )
            for position, variable in enumerate(self._variables)
        ]
        self._sum_of = {id(v): s for v, s in zip(self._variables, self._sums, strict=True)}
        add_update_hook(model, self._step)

    def _step(self, gradients: list[Any], variables: list[Any], update) -> None:
        rate = ops.cast(self._optimizer.learning_rate, "float32") if self._by_rate else 1.0
        for variable, gradient in zip(variables, gradients, strict=True):
            total = self._sum_of.get(id(variable))
            if total is not None and gradient is not None:
                weight = ops.cast(ops.convert_to_tensor(variable), "float32")
                moved = weight * ops.cast(ops.convert_to_tensor(gradient), "float32")
                total.assign(ops.convert_to_tensor(total) - rate * moved)
        update(gradients)

    def scores(self) -> list[np.ndarray]:
        """The sums; before the first step magnitudes, which at least are not all the same."""
        sums = list(self.get_state().values())
        if any(total.any() for total in sums):
            return sums
        return [np.abs(_host(variable).astype("float32")) for variable in self._variables]

    def get_state(self) -> dict[str, np.ndarray]:
        sync_model(self._model)
        return {f"movement/{i}": np.array(_host(total)) for i, total in enumerate(self._sums)}

    def set_state(self, state: dict[str, np.ndarray]) -> None:
        sync_model(self._model)
        for position, total in enumerate(self._sums):
            total.assign(np.array(state[f"movement/{position}"], "float32"))

    def remove(self) -> None:
        remove_update_hook(self._model, self._step)
        for total in self._sums:
            remove_optimizer_variable(self._optimizer, total)
        rebuild_step_functions(self._model)


def _host(variable):
    return ops.convert_to_numpy(ops.convert_to_tensor(variable))
