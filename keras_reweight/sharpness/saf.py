"""Agreement with what a sample's own past epochs said."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_reweight.core.aux_targets import split_targets
from keras_reweight.core.functional_step import FunctionalStepModel
from keras_reweight.core.step_hooks import enable_aux, multiply_weights
from keras_reweight.core.validation import check_integer, check_number
from keras_reweight.sharpness._trajectory import packed_weights, trajectory_loss


@keras.saving.register_keras_serializable(package="keras_reweight")
class SAF(FunctionalStepModel):
    """Wraps a classifier and trains it to agree with its predictions of some epochs ago.

    The logits of every sample are kept for `delay` epochs, as they were in the training step before
    its update. From `start_epoch` to before `end_epoch` the loss gets the mean over the batch of
    `weight * T^2 * KL(softmax(z_past / T) || softmax(z / T))`, with `z_past` the logits of the same
    sample `delay` epochs ago; weights of samples weigh it like the loss. A sample that was not
    shown then has no such term. `MESA` needs no ids and no table, and is the better choice for
    large data sets, augmentation that changes labels, or few epochs. Under label noise compare with
    label smoothing, which is free.

    Targets must be packed with sample ids, see `kr.data.pack_targets` and
    `kr.data.with_sample_ids`; `enable_aux_targets` is not needed. The table belongs to the state of
    the wrapper: it is saved with it, and `keras.callbacks.BackupAndRestore` restores it.

    Args:
        model: A built `keras.Model` whose one output is logits, shape `(batch, classes)`.
        num_samples: Integer >= 1, number of training samples; ids run from 0 to `num_samples - 1`.
        weight: Float >= 0 of the term. Defaults to `0.3`.
        temperature: Float > 0. Defaults to `5.0`.
        delay: Integer >= 1, epochs between the predictions compared. Defaults to `3`.
        start_epoch: Integer >= 0, the first epoch with the term. Defaults to `6`.
        end_epoch: Integer above `start_epoch`, the first epoch without it again. Defaults to
            `None`, never.
        name: String. Defaults to `"saf"`.
        **kwargs: Arguments of `keras.Model`.

    Returns:
        A `keras.Model` for `compile` and `fit`; `model` is the trained model afterwards.

    Raises:
        TypeError: If `model` is no model or an argument not a number.
        ValueError: If `model` is not built or its output not of shape `(batch, classes)`, or an
            argument is out of range; in `fit`, if the targets carry no ids or too large ones.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    x, y = np.random.default_rng(0).normal(size=(32, 4)).astype("float32"), np.arange(32) % 2
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    trainer = kr.sharpness.SAF(model, 32, weight=1.0, delay=1, start_epoch=1)
    trainer.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    trainer.fit(*kr.data.with_sample_ids((x, y)), epochs=3, verbose=0)
    ```

    Reference:
        Du et al., "Sharpness-Aware Training for Free", NeurIPS 2022, arXiv 2205.14083, section 3.2
        and equation 7; weight, temperature and delay as in its code.

    Deviations:
        The code also compares with logits that are older than `delay` epochs, or with zeros, where
        a sample was not shown. Its `start` is the epoch before the first one with the term. It
        takes the logarithm of a softmax, which overflows; a log-softmax here.

    Cost:
        No further pass. A table of `num_samples * (delay + 1) * classes` float32, which TensorFlow
        and torch copy in every step.
    """

    knows_epochs = True

    def __init__(
        self,
        model: keras.Model,
        num_samples: int,
        *,
        weight: float = 0.3,
        temperature: float = 5.0,
        delay: int = 3,
        start_epoch: int = 6,
        end_epoch: int | None = None,
        name: str = "saf",
        **kwargs: Any,
    ):
        check_integer("num_samples", num_samples, minimum=1)
        check_number("weight", weight, minimum=0.0)
        check_number("temperature", temperature, exclusive_minimum=0.0)
        check_integer("delay", delay, minimum=1)
        check_integer("start_epoch", start_epoch, minimum=0)
        if end_epoch is not None:
            check_integer("end_epoch", end_epoch, minimum=start_epoch + 1)
        super().__init__(model, name=name, **kwargs)
        self.num_samples = num_samples
        self.weight = weight
        self.temperature = temperature
        self.delay = delay
        self.start_epoch = start_epoch
        self.end_epoch = end_epoch
        self._num_classes()

    def _num_classes(self):
        shape = getattr(self.model, "output_shape", None)
        if not isinstance(shape, tuple) or len(shape) != 2 or not isinstance(shape[-1], int):
            raise ValueError(
                "`model` must have one output of shape (batch, classes), known before training; "
                f"model {self.model.name!r} has {shape}."
            )
        return shape[-1]

    def build(self, input_shape=None):
        rows = self.num_samples * (self.delay + 1)
        self._past = self.state_weight("past", (rows, self._num_classes()))
        # Before every epoch that could be asked for.
        never = keras.initializers.Constant(-1.0 - self.delay)
        self._written = self.state_weight("written", (rows,), never)
        self._beyond = self.state_weight("beyond", ())

    def compile(self, *args, **kwargs):
        super().compile(*args, **kwargs)
        enable_aux(self)

    def neutral_step(self, x, y, sample_weight):
        _, aux = split_targets(y)
        if "sample_id" not in aux:
            raise ValueError(
                "SAF: the targets carry no sample ids. Pass "
                "`y=keras_reweight.data.pack_targets(y, sample_id=...)`."
            )
        ids = ops.reshape(ops.cast(aux["sample_id"], "int32"), (-1,))
        # Ids out of range are reported at the end of the epoch; they must not crash the step first.
        beyond = ops.max(ops.maximum(ids - (self.num_samples - 1), -ids))
        self._beyond.assign(ops.maximum(ops.copy(self._beyond), ops.cast(beyond, "float32")))
        first = ops.clip(ids, 0, self.num_samples - 1) * (self.delay + 1)
        epoch = ops.copy(self.epoch)
        slot = ops.cast(epoch, "int32")
        here = first + ops.mod(slot, self.delay + 1)
        # `delay` epochs ago is one epoch ahead in the ring.
        there = first + ops.mod(slot + 1, self.delay + 1)
        y_past = ops.take(ops.convert_to_tensor(self._past), there, axis=0)
        written = ops.take(ops.convert_to_tensor(self._written), there, axis=0)
        active = epoch >= self.start_epoch
        if self.end_epoch is not None:
            active = ops.logical_and(active, epoch < self.end_epoch)
        known = ops.logical_and(active, written == epoch - self.delay)
        weights = packed_weights(y, sample_weight)
        rows = ops.expand_dims(here, axis=-1)

        def total(x, y, y_past, known):
            loss, y_pred = self.compiled_loss_and_outputs(x, y, sample_weight)
            logits = ops.cast(y_pred, "float32")
            table = ops.convert_to_tensor(self._past)
            self._past.assign(ops.scatter_update(table, rows, ops.stop_gradient(logits)))
            losses = trajectory_loss(y_past, logits, self.temperature)
            losses = ops.where(known, losses, ops.zeros_like(losses))
            if weights is not None:
                losses = multiply_weights(weights, losses)
            return loss + self.weight * ops.cast(ops.mean(losses), loss.dtype)

        epochs = ops.broadcast_to(epoch, ops.shape(here))
        now = ops.scatter_update(ops.convert_to_tensor(self._written), rows, epochs)
        self._written.assign(now)
        return self.apply_step(self.counted(total), x, y, y_past, known, count=ops.shape(ids)[0])

    def finish_epoch(self):
        if float(ops.convert_to_numpy(self._beyond)) > 0:
            self._beyond.assign(0.0)
            raise ValueError(
                f"`num_samples`={self.num_samples}, but the targets carry sample ids outside "
                f"0..{self.num_samples - 1}."
            )

    def get_config(self) -> dict:
        own = ("num_samples", "weight", "temperature", "delay", "start_epoch", "end_epoch")
        return {**super().get_config(), **{key: getattr(self, key) for key in own}}
