"""Train a sparse model from the beginning to the end, its connections changing."""

from __future__ import annotations

import weakref
from typing import Any

import keras
import numpy as np

from keras_compress.pruning.allocations.allocation import Allocation
from keras_compress.pruning.allocations.erk_allocation import ERKAllocation
from keras_compress.pruning.context import PruningContext
from keras_compress.pruning.masked_training import MaskedTraining
from keras_compress.pruning.patterns.pattern import Pattern
from keras_compress.sparse_training._connections import (
    evolve,
    host_value,
    random_masks,
    rescale_kept,
)
from keras_compress.sparse_training.evolution import Evolution
from keras_compress.sparse_training.resolved_method import resolved_method
from keras_reweight.core.last_gradients import LastGradients
from keras_reweight.core.masks import StepCounter
from keras_reweight.core.optimizer_slots import reset_slots
from keras_reweight.core.validation import (
    check_boolean,
    check_choice,
    check_integer,
    check_sparsity,
)


@keras.saving.register_keras_serializable(package="keras_compress")
class SparseTraining(MaskedTraining):
    """Train with a fixed number of connections, and let weak ones make room for better ones.

    Where pruning begins with a dense model, this one is sparse from the first step to the last: at
    the beginning `sparsity` of all weights are zero, at random places, and at every update each
    variable gives up some connections and gets as many others. `"set"` grows them at random,
    `"rigl"` where the gradient is largest. Finds better sparse models than fixed random masks do,
    and needs no dense model before.

    Updates come before the first step of an epoch (`frequency="epoch"`) or before every step that
    `frequency` divides; none comes before the first step. Steps are batches, counted from the first
    `fit` with this callback; a further `fit` of the same model goes on with its masks, and so does
    a run resumed by `keras.callbacks.BackupAndRestore` or `set_state`. Each epoch's logs get
    `sparsity`. At the end of `fit` the model is plain again; training on without a callback lets
    the weights grow back (see `KeepSparsity`).

    Args:
        sparsity: Float in `[0, 1)`, share of the weights that are zero at any time, or `None` to
            begin with the zeros the model has now: those of `prune_weights`, for example.
        method: `"set"`, `"rigl"`, or an `Evolution`, such as `SET` or `RigL` with other arguments.
            Defaults to `"set"`.
        allocation: An `Allocation`, how `sparsity` is spread over the variables at the beginning.
            Defaults to `ERKAllocation()`, which leaves small variables dense.
        frequency: `"epoch"`, or an integer >= 1, steps between two updates. Defaults to `"epoch"`.
        layers: Layer names, paths, `re.Pattern`, layers, predicates or a list of these; `None`
            takes all kernels and embeddings that are trained.
        rescale: Boolean, whether the weights that are left at the beginning grow by
            `sqrt(size / kept)` of their variable, so that signals pass a deep sparse network as
            they would pass the dense one. Not for trained weights. Defaults to `True`.
        seed: Integer >= 0, decides the random places and values. Defaults to `0`.
        name: String, unique among the callbacks of one `fit`. Defaults to `"sparse_training"`.

    Returns:
        A `keras.callbacks.Callback` for `fit`; `report` and `masks` tell what it does.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If an argument is outside its range; in `fit`, before anything changes, if the
            model is not compiled, nothing can be pruned, or the sparsity cannot be reached; at an
            update, if a weight or gradient is not finite.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_compress as kc

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(16), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    x = np.random.default_rng(0).normal(size=(32, 8)).astype("float32")
    sparse = kc.callbacks.SparseTraining(0.75, method="rigl", frequency=2)
    model.fit(x, x[:, :1], batch_size=8, epochs=2, verbose=0, callbacks=[sparse])
    assert kc.sparsity_report(model).sparsity == 0.75
    ```

    Reference:
        Mocanu et al., arXiv 1707.04780 (SET); Evci et al., "Rigging the Lottery: Making All Tickets
        Winners", arXiv 1911.11134 (RigL).

    Deviations:
        The number of weights is exact from the beginning, not only on average. The official code
        of RigL does not rescale. What the optimizer knows of a new connection begins anew; sums
        over rows and columns (Adafactor) do not. Masks do not make dense kernels faster.

    Cost:
        Masks take one byte a weight on the device and one pass over the weights a step, RigL's
        gradients four bytes and another pass. An update sorts all weights on the host.
    """

    def __init__(
        self,
        sparsity: float | None,
        *,
        method: str | Evolution = "set",
        allocation: Allocation | None = None,
        frequency: str | int = "epoch",
        layers: Any = None,
        rescale: bool = True,
        seed: int = 0,
        name: str | None = None,
    ):
        if sparsity is not None:
            check_sparsity("sparsity", sparsity)
        resolved_method(method)
        if allocation is not None and not isinstance(allocation, Allocation):
            raise TypeError(f"`allocation` must be an Allocation, got {allocation!r}.")
        if isinstance(frequency, str):
            check_choice("frequency", frequency, ["epoch"])
        else:
            check_integer("frequency", frequency, minimum=1)
        check_boolean("rescale", rescale)
        check_integer("seed", seed, minimum=0)
        super().__init__(layers=layers, name=name)
        self.sparsity = sparsity
        self.method = method
        self.allocation = allocation
        self.frequency = frequency
        self.rescale = rescale
        self.seed = seed
        self._counter: StepCounter | None = None
        self._since_update: StepCounter | None = None
        self._gradients: LastGradients | None = None
        self._fitted_model: weakref.ref | None = None
        self._reset_clock()

    def _reset_clock(self):
        self._begun = False
        self._epoch_begin_step = 0
        self._fit_begin_step = 0
        self._next_update: float = float("inf")

    @property
    def evolution(self) -> Evolution:
        """What `method` stands for."""
        return resolved_method(self.method)

    def check_weights(self, weights):
        if self.sparsity is not None:
            sizes = [int(np.prod(variable.shape)) for variable in weights.variables]
            (self.allocation or ERKAllocation()).check(sizes, self.sparsity)

    def on_attach(self, model):
        super().on_attach(model)
        self._reset_clock()
        self._counter = StepCounter(model, name=f"{self.name}_step_origin")
        self._since_update = StepCounter(model, name=f"{self.name}_update_origin")
        if self.evolution.needs_gradient:
            self._gradients = LastGradients(model, self._weights.variables, name=self.name)
        same_model = self._fitted_model is not None and self._fitted_model() is model
        if same_model and set(self._last_state) == self._state_keys():
            self.set_host_state(self._last_state)

    def on_detach(self, model):
        parts = self._counter, self._since_update, self._gradients
        self._counter = self._since_update = self._gradients = None
        if self._training:
            self._fitted_model = weakref.ref(model)
        super().on_detach(model)
        for part in parts:
            if part is not None:
                part.remove()

    def _gradient_keys(self):
        count = len(self._weights.variables) if self._gradients is not None else 0
        return [f"gradient/{i}" for i in range(count)]

    def _state_keys(self):
        return {"step", "last_update", *self.mask_keys(), *self._gradient_keys()}

    def host_state(self):
        if self._counter is None or self._since_update is None:
            return super().host_state()
        step = self._counter.read()
        state = {"step": step, "last_update": step - self._since_update.read()}
        state = {key: np.asarray(value, "int64") for key, value in state.items()}
        if self._gradients is not None:
            state |= dict(zip(self._gradient_keys(), self._gradients.read(), strict=True))
        return {**super().host_state(), **state}

    def set_host_state(self, state):
        state = dict(state)
        if set(state) != self._state_keys():
            raise ValueError(
                f"Callback {self.name!r}: the state must hold {sorted(self._state_keys())}, it "
                f"holds {sorted(state)}. It belongs to another model, other `layers`, or another "
                "`method`."
            )
        step, last_update = int(state.pop("step")), int(state.pop("last_update"))
        gradients = [state.pop(key) for key in self._gradient_keys()]
        super().set_host_state(state)
        if self._gradients is not None:
            self._gradients.write(gradients)
        shift = step - self._counter.read()
        self._counter.write(step)
        self._since_update.write(step - last_update)
        self._epoch_begin_step += shift
        self._fit_begin_step += shift
        self._begun = True
        self._plan_update(step)

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        if not self._begun:
            masks = self._first_masks()
            if self.rescale and self.sparsity is not None:
                rescale_kept(self._weights.variables, masks)
            self.mask_set.write(masks)
            self._begun = True
        self.mask_set.apply()

    def on_epoch_begin(self, epoch, logs=None):
        if self._counter is None:
            return
        step = self._counter.read()
        self._epoch_begin_step = step
        self._fit_begin_step = step - epoch * ((self.params or {}).get("steps") or 0)
        if self.frequency == "epoch":
            if step > 0 and self._since_update.read() > 0:
                self._update(step)
        else:
            self._plan_update(step)

    def on_train_batch_begin(self, batch, logs=None):
        if self._counter is None or self._epoch_begin_step + batch < self._next_update:
            return
        step = self._counter.read()
        self._epoch_begin_step = step - batch
        if step >= self._next_update:
            self._update(step)
            self._plan_update(step)

    def _plan_update(self, step):
        """The next step before which the connections change."""
        if self.frequency == "epoch":
            return
        passed = step // self.frequency * self.frequency
        due = passed > step - self._since_update.read() and passed > 0
        self._next_update = passed if due else passed + self.frequency

    def _progress(self, step):
        params = self.params or {}
        if not params.get("steps") or not params.get("epochs"):
            return None
        return (step - self._fit_begin_step) / (params["steps"] * params["epochs"])

    def _first_masks(self):
        if self.sparsity is None:
            return [host_value(variable) != 0 for variable in self._weights.variables]
        context = PruningContext.of(self._attached_to, self._weights, Pattern())
        return random_masks(context, self.sparsity, self.allocation or ERKAllocation(), self.seed)

    def _update(self, step):
        # An error below ends the fit; taking the callback off must not raise it again.
        self._next_update = float("inf")
        fraction = self.evolution.fraction_at(step, self._progress(step))
        self._since_update.write(0)
        if fraction == 0.0:
            return
        masks = self.mask_set.read()
        gradients = [None] * len(masks) if self._gradients is None else self._gradients.read()
        variables = self._weights.variables
        rngs = [np.random.default_rng([self.seed, step, i]) for i in range(len(masks))]
        changed, new_places = evolve(self.evolution, fraction, variables, masks, gradients, rngs)
        self.mask_set.write(changed)
        self.mask_set.apply()
        reset_slots(self._attached_to, variables, new_places)

    def __deepcopy__(self, memo):
        live = self._counter, self._since_update, self._gradients
        self._counter = self._since_update = self._gradients = None
        try:
            return super().__deepcopy__(memo)
        finally:
            self._counter, self._since_update, self._gradients = live

    def get_config(self):
        return {
            "sparsity": self.sparsity,
            "method": keras.saving.serialize_keras_object(self.method),
            "allocation": keras.saving.serialize_keras_object(self.allocation),
            "frequency": self.frequency,
            "rescale": self.rescale,
            "seed": self.seed,
            **super().get_config(),
        }

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        for part in ("method", "allocation"):
            if isinstance(config.get(part), dict):
                config[part] = keras.saving.deserialize_keras_object(config[part])
        return cls(**config)
