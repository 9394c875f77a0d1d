"""Proximal epoch stochastic gradient, the optimizer of deep AUC maximization."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_reweight.core.validation import check_number
from keras_reweight.optimizers._pesg_rule import pesg_direction


@keras.saving.register_keras_serializable(package="keras_reweight")
class PESG(keras.optimizers.Optimizer):
    """Stochastic gradient with a pull towards the average weights of the stage before.

    Use it with `AUCMinMaxLoss`, whose auxiliary scalars it trains by the same rule, and
    `kr.callbacks.PESGSchedule`, which ends a stage. For a gradient `g` of a weight `v`

    `d = clip(g, -clip_value, clip_value) + epoch_decay (v - v_ref) + l2 v`,
    `buffer = (1 - momentum) buffer + momentum d`, `v = v - learning_rate buffer`,

    with `buffer = d` in the first step. `v_ref` is the weight before training, then, from every
    `update_regularizer(decay_factor)` on, the average of `v` since the call before, which also
    divides the learning rate. Note that `momentum` is the share of the *new* gradient.

    Args:
        learning_rate: Float or a Keras learning rate schedule. Defaults to `0.1`.
        momentum: Float in (0, 1], share of the new gradient. Defaults to `0.9`.
        clip_value: Float > 0, largest absolute entry of a gradient. Defaults to `1.0`.
        l2: Float >= 0, factor of the L2 term, called weight decay in the paper's code. Defaults to
            `1e-5`.
        epoch_decay: Float >= 0, factor of the pull to `v_ref`; without it two slots a weight are
            saved. Defaults to `2e-3`.
        name: String, name of the optimizer. Defaults to `"pesg"`.
        **kwargs: Further options of `keras.optimizers.Optimizer`.

    Returns:
        A `keras.optimizers.Optimizer` for `compile`.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If an argument is out of its range, or `decay_factor` is not positive.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, activation="sigmoid")])
    model.compile(kr.optimizers.PESG(0.1), kr.losses.AUCMinMaxLoss())
    x = np.random.default_rng(0).normal(size=(40, 4)).astype("float32")
    batches = kr.data.BalancedBatches(x, x[:, 0] > 1.0, batch_size=8)
    schedule = kr.callbacks.PESGSchedule(epochs=[1])
    model.fit(batches, epochs=2, verbose=0, callbacks=[kr.callbacks.LossState(), schedule])
    ```

    Reference:
        Yuan et al., "Large-scale Robust Deep AUC Maximization", ICCV 2021, arXiv 2012.03173
        (PESG); LibAUC `libauc/optimizers/pesg.py`.

    Deviations:
        The first `v_ref` is the initial weight, as in the paper; LibAUC starts from random noise.
        The mode with Adam's moments is left out.

    Cost:
        Three slots a weight, or one with `epoch_decay=0`.
    """

    def __init__(
        self,
        learning_rate: Any = 0.1,
        *,
        momentum: float = 0.9,
        clip_value: float = 1.0,
        l2: float = 1e-5,
        epoch_decay: float = 2e-3,
        name: str = "pesg",
        **kwargs,
    ):
        if not callable(learning_rate):
            check_number("learning_rate", learning_rate, exclusive_minimum=0.0)
            learning_rate = float(learning_rate)
        check_number("momentum", momentum, exclusive_minimum=0.0, maximum=1.0)
        check_number("clip_value", clip_value, exclusive_minimum=0.0)
        check_number("l2", l2, minimum=0.0)
        check_number("epoch_decay", epoch_decay, minimum=0.0)
        super().__init__(learning_rate=learning_rate, name=name, **kwargs)
        self.momentum = momentum
        self.clip_value = clip_value
        self.l2 = l2
        self.epoch_decay = epoch_decay

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self.buffers = self.add_optimizer_variables(variables, "buffer")
        self.references, self.sums, self.stage_begin = [], [], None
        if self.epoch_decay:
            self.references = self.add_optimizer_variables(variables, "reference")
            self.sums = self.add_optimizer_variables(variables, "sum")
            self.stage_begin = self.add_variable((), dtype="int32", name="stage_begin")

    def update_step(self, gradient, variable, learning_rate):
        index = self._get_variable_index(variable)
        value = ops.convert_to_tensor(variable)
        buffer = ops.convert_to_tensor(self.buffers[index])
        is_first = ops.equal(ops.convert_to_tensor(self.iterations), 0)
        reference = None
        if self.epoch_decay:
            # The weights of the first step, also where they were loaded after `build`.
            reference = ops.where(is_first, value, ops.convert_to_tensor(self.references[index]))
            self.assign(self.references[index], reference)
        buffer = pesg_direction(
            ops.cast(gradient, value.dtype),
            value,
            reference,
            buffer,
            is_first,
            momentum=self.momentum,
            clip_value=self.clip_value,
            l2=self.l2,
            epoch_decay=self.epoch_decay,
        )
        moved = value - ops.cast(learning_rate, value.dtype) * buffer
        self.assign(self.buffers[index], buffer)
        self.assign(variable, moved)
        if self.epoch_decay:
            self.assign_add(self.sums[index], moved)

    def update_regularizer(self, decay_factor: float = 10.0) -> None:
        """End a stage, outside the compiled step: average weights to pull to, smaller steps."""
        check_number("decay_factor", decay_factor, exclusive_minimum=0.0)
        present = float(ops.convert_to_numpy(super().learning_rate))
        self.learning_rate = present / decay_factor
        if not self.built or not self.epoch_decay:
            return
        now = int(ops.convert_to_numpy(self.iterations))
        steps = now - int(ops.convert_to_numpy(self.stage_begin))
        if steps == 0:
            return
        for reference, total in zip(self.references, self.sums, strict=True):
            reference.assign(ops.convert_to_tensor(total) / steps)
            total.assign(ops.zeros(total.shape, dtype=total.dtype))
        self.stage_begin.assign(now)

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "momentum": self.momentum,
            "clip_value": self.clip_value,
            "l2": self.l2,
            "epoch_decay": self.epoch_decay,
        }
