"""AUC margin loss with trained auxiliary scalars."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from keras_reweight.core.stateful_loss import StatefulLoss
from keras_reweight.losses._auc_objective import class_statistics, prior_factor
from keras_reweight.losses.auc_margin import AUCMarginLoss
from keras_reweight.optimizers._pesg_rule import pesg_direction
from keras_reweight.optimizers.pesg import PESG

# LibAUC keeps `alpha` in this range.
_LARGEST_ALPHA = 999.0


@keras.saving.register_keras_serializable(package="keras_reweight")
class AUCMinMaxLoss(AUCMarginLoss, StatefulLoss):
    """AUC margin loss whose auxiliary scalars are trained along with the weights by PESG.

    Use it with the optimizer `kr.optimizers.PESG` and the callback `kr.callbacks.LossState` to
    train as the paper does; `AUCMarginLoss` with any optimizer needs neither and is the place to
    start. The objective, minimized over the weights, `a` and `b` and maximized over `alpha >= 0`,

    `F = mean_pos (h - a)^2 + mean_neg (h - b)^2 + 2 alpha (margin + mean_neg h - mean_pos h)
    - alpha^2`,

    remembers the classes between batches. Each step computes loss and gradients at the present
    `a`, `b` and `alpha`, moves `a` and `b` by the rule of the optimizer, with its learning rate,
    and then `alpha += 2 learning_rate (margin + b - a - alpha)` with the new `a` and `b`. Without
    the callback the loss is `AUCMarginLoss`.

    Args:
        margin: Float > 0, wanted distance of the class means. Defaults to `1.0`.
        prior: `None` for `F`; a float in (0, 1), the share `p` of positives in the training set,
            or `"batch"` for that of the batch, for `p (1 - p) F`. Defaults to `"batch"`.
        from_logits: Boolean, whether to apply a sigmoid to `y_pred`. Defaults to `False`.
        reduction: As in `BatchLoss`. Defaults to `"sum_over_batch_size"`.
        name: String, name of the loss. Defaults to `"auc_min_max_loss"`.
        dtype: Dtype of the computation. Defaults to `None`: `keras.config.floatx()`.

    Returns:
        Called with labels 0 or 1 and scores, both of shape `(batch,)` or `(batch, 1)`: a float
        scalar. Evaluation uses the scalars of the last training step.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If an argument is out of its range, or, on a call, the shapes do not fit; in
            `fit` with `LossState`, if the optimizer is not `PESG`.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, activation="sigmoid")])
    loss = kr.losses.AUCMinMaxLoss()
    model.compile(kr.optimizers.PESG(0.1), loss)
    x = np.random.default_rng(0).normal(size=(40, 4)).astype("float32")
    batches = kr.data.BalancedBatches(x, x[:, 0] > 1.0, batch_size=8)
    model.fit(batches, verbose=0, callbacks=[kr.callbacks.LossState()])
    alpha = loss.memory.read()["alpha"]
    ```

    Reference:
        Yuan et al., "Large-scale Robust Deep AUC Maximization", ICCV 2021, arXiv 2012.03173;
        LibAUC `AUCMLoss(version="v1")` and `PESG`.

    Deviations:
        Those of `AUCMarginLoss`. The learning rate is read from the optimizer at the first batch of
        each epoch, so a schedule of steps reaches `a`, `b` and `alpha` once an epoch. With
        `gradient_accumulation_steps` they still move with every batch. In a batch without one of
        the classes `alpha` stays.
    """

    def __init__(
        self,
        margin: float = 1.0,
        *,
        prior: float | str | None = "batch",
        from_logits: bool = False,
        reduction: str | None = "sum_over_batch_size",
        name: str = "auc_min_max_loss",
        dtype=None,
    ):
        super().__init__(
            margin,
            prior=prior,
            from_logits=from_logits,
            reduction=reduction,
            name=name,
            dtype=dtype,
        )

    def state_spec(self):
        pair = np.zeros(2, "float32")
        return {
            "centers": pair,  # a and b
            "alpha": np.zeros((), "float32"),
            "used": np.zeros(3, "float32"),  # what the loss of the last step was computed with
            "buffer": pair,
            "reference": pair,
            "sum": pair,
            "steps": np.zeros((), "float32"),  # since the reference was set
            "step": np.zeros((), "int32"),
            "rule": np.zeros(5, "float32"),
        }

    def refresh(self, model):
        optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
        if not isinstance(optimizer, PESG):
            raise ValueError(
                f"{self.name}: the `optimizer` must be keras_reweight.optimizers.PESG, which "
                f"trains a, b and alpha, got {optimizer!r}. AUCMarginLoss goes with any optimizer."
            )
        rate = float(ops.convert_to_numpy(optimizer.learning_rate))
        numbers = (optimizer.momentum, optimizer.clip_value, optimizer.l2, optimizer.epoch_decay)
        return {"rule": np.array([rate, *numbers], "float32")}

    def advance(self, y_true, y_pred, sample_weight):
        memory = self.memory
        labels, scores = self._labels_and_scores(y_true, y_pred)
        if scores.shape[-1] != 1:
            raise ValueError(
                f"{self.name}: `y_pred` must have one column, got shape {tuple(y_pred.shape)}. "
                "AUCMarginLoss takes several."
            )
        weights = self.batch_weights(y_pred, sample_weight)
        found = class_statistics(ops.stop_gradient(scores), labels, weights)
        centers, alpha, step = memory["centers"], memory["alpha"], memory["step"]
        rate, momentum, clip_value, l2, epoch_decay = (memory["rule"][i] for i in range(5))
        means = ops.cast(ops.concatenate([found.positive, found.negative]), "float32")
        present = ops.concatenate([found.has_positive, found.has_negative])
        factor = ops.cast(prior_factor(self.prior, found.rate), "float32")
        buffer = pesg_direction(
            ops.where(present, 2.0 * factor * (centers - means), 0.0),
            centers,
            memory["reference"],
            memory["buffer"],
            ops.equal(step, 0),
            momentum=momentum,
            clip_value=clip_value,
            l2=l2,
            epoch_decay=epoch_decay,
        )
        moved = centers - rate * buffer
        rise = 2.0 * rate * (self.margin + moved[1] - moved[0] - alpha)
        risen = ops.clip(alpha + rise, 0.0, _LARGEST_ALPHA)
        memory.assign("used", ops.concatenate([centers, ops.reshape(alpha, (1,))]))
        memory.assign("centers", moved)
        memory.assign("alpha", ops.where(found.has_both[0], risen, alpha))
        memory.assign("buffer", buffer)
        memory.assign("sum", memory["sum"] + moved)
        memory.assign("steps", memory["steps"] + 1.0)
        memory.assign("step", step + 1)

    def _dual(self, statistics):
        if self.memory is None:
            return super()._dual(statistics)
        used = ops.cast(self.memory["used"], statistics.rate.dtype)
        return used[0], used[1], used[2]

    def update_regularizer(self) -> None:
        """End a stage, outside the compiled step: `a` and `b` are pulled to their averages."""
        state = self.memory.read()
        if state["steps"] > 0:
            self.memory.assign("reference", state["sum"] / state["steps"])
            self.memory.assign("sum", np.zeros_like(state["sum"]))
            self.memory.assign("steps", np.zeros_like(state["steps"]))
