"""Prune while training: any criterion, schedule and allocation, held by masks."""

from __future__ import annotations

import math
import weakref
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_compress.pruning.allocations.allocation import Allocation
from keras_compress.pruning.context import PruningContext, check_pattern
from keras_compress.pruning.criteria.criterion import Criterion, CriterionMemory, host_value
from keras_compress.pruning.layer_collapse import warn_of_collapse
from keras_compress.pruning.lowest_masks import next_masks
from keras_compress.pruning.masked_training import MaskedTraining
from keras_compress.pruning.patterns.pattern import Pattern
from keras_compress.pruning.prune_weights import resolve_parts
from keras_compress.pruning.sparsity_rule import SparsityRule
from keras_reweight.core.masks import StepCounter
from keras_reweight.core.schedules import (
    Constant,
    Schedule,
    ScheduleLike,
    deserialize_schedule,
    serialize_schedule,
    value_at,
)
from keras_reweight.core.validation import check_integer, check_sparsity

_NEVER = math.inf


@keras.saving.register_keras_serializable(package="keras_compress")
class Pruning(MaskedTraining):
    """Zero the least important weights while a model trains, and keep them at zero.

    Four parts that combine freely: the criterion says what a weight is worth, the schedule how much
    to prune when, the allocation where, the pattern what goes together; masks hold the result under
    any Keras optimizer inside the compiled step. A float prunes once, at `begin_step`; a schedule
    of the step prunes gradually: the masks are updated before step `begin_step`, every `frequency`
    steps from there, and at the schedule's `end_step` if it has one. A `SparsityRule` decides at
    each of these updates from the weights. Pruned weights come back only if the schedule falls.

    Steps are batches, counted from the first `fit` with this callback; a further `fit` of the same
    model goes on counting, and so does a run resumed by `keras.callbacks.BackupAndRestore` or
    `set_state`. With `steps_per_execution` masks change between executions only. Each epoch's logs
    get `sparsity`. At the end of `fit` the model is plain again; training on without a callback
    lets the weights grow back (see `KeepSparsity`).

    Args:
        sparsity: Float in `[0, 1)`, callable of the step, `Schedule`, or `SparsityRule`.
        criterion: A `Criterion`. Defaults to `Magnitude()`.
        allocation: An `Allocation`. Defaults to `GlobalAllocation()`.
        pattern: A `Pattern`. Defaults to single weights.
        begin_step: Integer >= 0, first step with masks. Defaults to `0`.
        frequency: Integer >= 1, steps between two updates. Defaults to `100`.
        layers: Layer names, paths, `re.Pattern`, layers, predicates or a list of these; `None`
            takes all kernels and embeddings that are trained, but depthwise kernels, whose layers
            must be named.
        name: String, unique among the callbacks of one `fit`. Defaults to `"pruning"`.

    Returns:
        A `keras.callbacks.Callback` for `fit`; `report` and `masks` tell what it does.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If an argument is outside its range; in `fit`, before anything changes, if the
            model is not compiled (or, on TensorFlow, not built), nothing can be pruned, or the
            sparsity cannot be reached, and at the step in question if a schedule leaves `[0, 1)`.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_compress as kc

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(16), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    x = np.random.default_rng(0).normal(size=(32, 8)).astype("float32")
    pruning = kc.callbacks.Pruning(
        kc.schedules.PolynomialDecay(0.0, 0.75, end_step=6),
        allocation=kc.pruning.UniformAllocation(),
        frequency=2,
    )
    model.fit(x, x[:, :1], batch_size=8, epochs=2, verbose=0, callbacks=[pruning])
    assert model.history.history["sparsity"][-1] == 0.75
    ```

    Reference:
        Zhu and Gupta, "To prune, or not to prune", arXiv 1710.01878 (gradual pruning); schedule
        and frequency as in github.com/tensorflow/model-optimization.

    Deviations:
        Gradients of pruned weights still enter momentum and global gradient norms. A checkpoint
        written during `fit` has the masks among the optimizer variables; loaded without this
        callback, Keras keeps its weights but says that it skips the optimizer state.

    Cost:
        Masks take one byte a weight on the device and one pass over the weights a step; between
        updates nothing is read back from the device. An update ranks all weights on the host, with
        about three times their memory for a moment.
    """

    def __init__(
        self,
        sparsity: ScheduleLike | SparsityRule,
        *,
        criterion: Criterion | None = None,
        allocation: Allocation | None = None,
        pattern: Pattern | None = None,
        begin_step: int = 0,
        frequency: int = 100,
        layers: Any = None,
        name: str | None = None,
    ):
        if not callable(sparsity) and not isinstance(sparsity, SparsityRule):
            check_sparsity("sparsity", sparsity)
        resolve_parts(criterion, allocation)
        check_pattern(pattern)
        check_integer("begin_step", begin_step, minimum=0)
        check_integer("frequency", frequency, minimum=1)
        super().__init__(layers=layers, name=name)
        self.sparsity = sparsity
        self.criterion = criterion
        self.allocation = allocation
        self.pattern = pattern
        self.begin_step = begin_step
        self.frequency = frequency
        self._counter: StepCounter | None = None
        self._memory: CriterionMemory | None = None
        self._fitted_model: weakref.ref | None = None
        self._reset_clock()

    @property
    def counter(self) -> StepCounter:
        """Train steps of this callback; only while attached."""
        if self._counter is None:
            raise RuntimeError(f"Callback {self.name!r} is not attached to a model.")
        return self._counter

    def _reset_clock(self):
        self._epoch_begin_step = 0
        self._next_update: float = _NEVER
        self._applied: float | None = None
        self._last_update = -1

    # Attaching -------------------------------------------------------------------------------

    def check_weights(self, weights):
        """Refuse at the start what would fail after hours: a floor that the target cannot leave."""
        pattern = check_pattern(self.pattern)
        sizes = PruningContext.of(self.model, weights, pattern).num_units()
        if isinstance(self.sparsity, Schedule):
            for step in {self.begin_step, getattr(self.sparsity, "end_step", self.begin_step)}:
                self._check_value(sizes, self._value_at(step), step)
        elif not callable(self.sparsity) and not self._follows_rule():
            pattern.check(self.sparsity)
            resolve_parts(self.criterion, self.allocation)[1].check(sizes, self.sparsity)

    def _follows_rule(self):
        return isinstance(self.sparsity, SparsityRule)

    def on_attach(self, model):
        super().on_attach(model)
        self._reset_clock()
        self._counter = StepCounter(model, name=f"{self.name}_step_origin")
        criterion, _ = resolve_parts(self.criterion, self.allocation)
        self._memory = criterion.memory(model, self._weights.variables, f"{self.name}_criterion")
        same_model = self._fitted_model is not None and self._fitted_model() is model
        if same_model and set(self._last_state) == self._state_keys():
            self.set_host_state(self._last_state)

    def on_detach(self, model):
        memory, self._memory = self._memory, None
        counter, self._counter = self._counter, None
        self._next_update = _NEVER
        if self._training:
            self._fitted_model = weakref.ref(model)
        super().on_detach(model)
        if memory is not None:
            memory.remove()
        if counter is not None:
            counter.remove()

    # State -----------------------------------------------------------------------------------

    def _state_keys(self):
        keys = {"step", *self.mask_keys()}
        if self._follows_rule():
            keys.add("last_update")
        return keys | set(self._memory_state())

    def _memory_state(self):
        if self._memory is None:
            return {}
        return {f"criterion/{key}": value for key, value in self._memory.get_state().items()}

    def host_state(self):
        if self._counter is None:
            return super().host_state()
        if self._in_fit:
            # A backup between two steps must not depend on whether it comes before the update.
            self._update_if_due()
        state = {**super().host_state(), **self._memory_state()}
        state["step"] = np.asarray(self.counter.read(), "int64")
        if self._follows_rule():
            state["last_update"] = np.asarray(self._last_update, "int64")
        return state

    def set_host_state(self, state):
        missing = self._state_keys() - set(self.mask_keys()) - set(state)
        if missing:
            raise ValueError(
                f"Callback {self.name!r}: the state lacks {', '.join(map(repr, sorted(missing)))}."
            )
        masks = {key: value for key, value in state.items() if not key.startswith("criterion/")}
        step = int(masks.pop("step"))
        last_update = int(masks.pop("last_update", -1))
        super().set_host_state(masks)
        if self._memory is not None:
            self._memory.set_state(
                {key: state[f"criterion/{key}"] for key in self._memory.get_state()}
            )
        self._epoch_begin_step += step - self.counter.read()
        self.counter.write(step)
        self._applied = None
        self._last_update = last_update
        self._next_update = self._due_from(step) if self._training else _NEVER

    # Training --------------------------------------------------------------------------------

    def on_epoch_begin(self, epoch, logs=None):
        if self._counter is not None:
            self._epoch_begin_step = self.counter.read()
            self._next_update = min(self._next_update, self._due_from(self._epoch_begin_step))

    def on_train_batch_begin(self, batch, logs=None):
        # The begin and not the end of a batch: Keras calls it in the main thread before it reads
        # the state of the step, and a callback with batch ends would make every step synchronous.
        if self._epoch_begin_step + batch >= self._next_update:
            self._epoch_begin_step = self._update_if_due() - batch

    def settle(self):
        self._update_if_due()
        super().settle()

    def _update_if_due(self) -> int:
        """Update the masks if this step asks for it; returns the step."""
        step = self.counter.read()
        if step >= self._next_update:
            # An error below ends the fit; taking the callback off must not raise it again.
            self._next_update = _NEVER
            if self._follows_rule():
                # A rule goes on from what is there, so the same update must not come twice.
                if step > self._last_update:
                    self._update(step, None)
            elif (value := self._value_at(step)) != self._applied:
                self._update(step, value)
                self._applied = value
            self._last_update = step
            self._next_update = self._due_from(step + 1)
        return step

    def _update(self, step, value):
        criterion, allocation = resolve_parts(self.criterion, self.allocation)
        model, variables = self._attached_to, self._weights.variables
        context = PruningContext.of(model, self._weights, check_pattern(self.pattern))
        current = self.mask_set.read()
        if value is None:
            value = self.sparsity.targets([host_value(v) for v in variables], current)
        if np.isscalar(value):
            self._check_value(context.num_units(), value, step)
        if self._memory is None:
            scores = criterion.scores(model, variables)
        else:
            scores = self._memory.scores()
        masks = next_masks(scores, allocation, value, current, context)
        news = zip(context.paths, masks, current, strict=True)
        warn_of_collapse({path: mask for path, mask, old in news if old.any()}, self.name)
        self.mask_set.write(masks)
        self.mask_set.apply()

    def _value_at(self, step):
        value = value_at(self.sparsity, step)
        if ops.is_tensor(value):
            value = np.asarray(ops.convert_to_numpy(value)).item()
        check_sparsity(f"sparsity at step {step}", value)
        return float(value)

    def _check_value(self, sizes, value, step):
        allocation = resolve_parts(self.criterion, self.allocation)[1]
        try:
            check_pattern(self.pattern).check(value)
            allocation.check(sizes, value)
        except ValueError as error:
            raise ValueError(f"At step {step}: {error}") from error

    def _due_from(self, step):
        """The first step from `step` on whose masks may differ from those before."""
        last = getattr(self.sparsity, "end_step", None)
        once = not callable(self.sparsity) and not self._follows_rule()
        if once or isinstance(self.sparsity, Constant):
            last = self.begin_step
        if step <= self.begin_step:
            return self.begin_step
        if last is not None and step > last:
            return step if self._applied is None else _NEVER
        periods = math.ceil((step - self.begin_step) / self.frequency)
        due = self.begin_step + periods * self.frequency
        return due if last is None else min(due, last)

    # Copies and configs ----------------------------------------------------------------------

    def __deepcopy__(self, memo):
        live = self._counter, self._memory
        self._counter, self._memory = None, None
        try:
            return super().__deepcopy__(memo)
        finally:
            self._counter, self._memory = live

    def _sparsity_config(self):
        if self._follows_rule():
            return keras.saving.serialize_keras_object(self.sparsity)
        return serialize_schedule(self.sparsity)

    def get_config(self):
        return {
            "sparsity": self._sparsity_config(),
            "criterion": keras.saving.serialize_keras_object(self.criterion),
            "allocation": keras.saving.serialize_keras_object(self.allocation),
            "pattern": keras.saving.serialize_keras_object(self.pattern),
            "begin_step": self.begin_step,
            "frequency": self.frequency,
            **super().get_config(),
        }

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        config["sparsity"] = deserialize_schedule(config["sparsity"])
        for part in ("criterion", "allocation", "pattern"):
            if isinstance(config.get(part), dict):
                config[part] = keras.saving.deserialize_keras_object(config[part])
        return cls(**config)
