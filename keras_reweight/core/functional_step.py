"""Models with a train step of their own, written once for the three backends."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
from keras import ops

from keras_reweight.core.aux_targets import split_targets
from keras_reweight.core.failed_steps import keep_state_of_failed_steps
from keras_reweight.core.gradients._backend import active_backend
from keras_reweight.core.gradients._cache import cached
from keras_reweight.core.gradients._function import BuiltFunction, PureFunction
from keras_reweight.core.gradients._loss_terms import loss_spec
from keras_reweight.core.gradients._objective import Objective, sample_losses
from keras_reweight.core.gradients._scope import keep_losses
from keras_reweight.core.gradients._step import StepFunction
from keras_reweight.core.gradients.commit_updates import commit_updates
from keras_reweight.core.state import rebuild_step_functions, sync_model
from keras_reweight.core.step_epochs import StepEpochs
from keras_reweight.core.validation import check_built


class FunctionalStepModel(keras.Model):
    """Wraps a model and trains it with `neutral_step`, one function for every backend.

    In `neutral_step` variables are read and assigned as in eager code, also by optimizers and
    metrics: on JAX it runs in a scope that holds the values of the state and collects the
    assignments. Gradients come from `step_function`. What a subclass adds as its own state is not
    trainable unless the compiled optimizer is to train it with the wrapped model.

    Args:
        model: A built `keras.Model`.
        name: String, name of the wrapper.
        **kwargs: Arguments of `keras.Model`.
    """

    def __init__(self, model: keras.Model, *, name: str | None = None, **kwargs: Any):
        check_built(model, type(self).__name__)
        super().__init__(name=name, **kwargs)
        self.model = model

    #: Whether there is nothing to train without a compiled loss.
    needs_loss: bool = True

    #: Whether `epoch`, a float32 variable, tells the step in which epoch of `fit` it is.
    knows_epochs: bool = False

    def neutral_step(self, x: Any, y: Any, sample_weight: Any) -> dict[str, Any]:
        """One train step on a batch; returns the logs."""
        raise NotImplementedError(f"{type(self).__name__} must define neutral_step(...).")

    def call(self, inputs, training=None):
        return self.model(inputs, training=training)

    def build(self, input_shape=None):
        """Nothing: the wrapped model is built, and this one may have no weights of its own."""

    def compile(self, optimizer="rmsprop", loss=None, **kwargs):
        name = type(self).__name__
        if loss is None and self.needs_loss:
            raise ValueError(f"{name}.compile: `loss` is None, but samples are weighted by it.")
        if optimizer is None:
            raise ValueError(f"{name}.compile: `optimizer` is None, but the step applies it.")
        if any(layer.compute_dtype == "float16" for layer in self._flatten_layers()):
            raise ValueError(
                f"{name} does not scale losses, and without that gradients in float16 vanish: use "
                "the dtype policy 'mixed_bfloat16' or 'float32'."
            )
        if keras.backend.backend() == "torch" and kwargs.get("jit_compile") is True:
            raise ValueError(
                f"{name}: `jit_compile=True` does not work on torch, whose compiler cannot follow "
                "gradients inside the step. Leave it at 'auto'."
            )
        super().compile(optimizer=optimizer, loss=loss, **kwargs)
        if not self.built:
            self.build(None)
        if self.knows_epochs and not hasattr(self, "epoch"):
            self.epoch = self.state_weight("epoch", ())

    def fit(self, *args, callbacks=None, **kwargs):
        # A list of callbacks that is ready made keeps its own.
        if self.knows_epochs and not isinstance(callbacks, keras.callbacks.CallbackList):
            given = [] if callbacks is None else callbacks
            given = list(given) if isinstance(given, (list, tuple)) else [given]
            callbacks = [StepEpochs(), *given]
        return super().fit(*args, callbacks=callbacks, **kwargs)

    def check_ready(self) -> None:
        """Raise what would go wrong in a step; called before the first one."""

    def finish_epoch(self) -> None:
        """Called by `fit` after every epoch, where the class knows epochs; state may be read."""

    def make_train_function(self, force=False):
        self.check_ready()
        if self.train_function is None or force:
            super().make_train_function(force=force)
            keep_state_of_failed_steps(self)
        return self.train_function

    def compile_from_config(self, config: dict) -> None:
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)

    def get_config(self) -> dict:
        config = super().get_config()
        return {**config, "model": keras.saving.serialize_keras_object(self.model)}

    @classmethod
    def from_config(cls, config: dict, custom_objects: dict | None = None):
        config = dict(config)
        config["model"] = keras.saving.deserialize_keras_object(
            config["model"], custom_objects=custom_objects
        )
        return cls(**config)

    def train_step(self, *arguments):
        # JAX hands over the state as well: train_step(state, data) instead of train_step(data).
        *state, data = arguments
        batch = keras.utils.unpack_x_y_sample_weight(data)
        if state:
            return self._stateless_step(state[0], batch)
        with active_backend().no_recording():
            self._build_trackers(*batch[:2])
            return self.neutral_step(*batch)

    def _build_trackers(self, x, y):
        """Have the metrics before the step: what is made inside of it would lose the first batch.

        On JAX Keras itself does this before it compiles.
        """
        y, _ = split_targets(y)
        metrics, loss = self._compile_metrics, self._compile_loss
        waits = [one is not None and not one.built for one in (metrics, loss)]
        if y is None or not any(waits):
            return
        with active_backend().isolate(), keep_losses(self):
            y_pred = self(x, training=False)
        if waits[0]:
            metrics.build(y, y_pred)
        if waits[1]:
            # Its `build` wants targets in the structure of the outputs, into which a call brings
            # them; what the call counts is taken back.
            loss(y, y_pred)
            for tracker in loss.metrics:
                tracker.reset_state()

    def _stateless_step(self, state, batch):
        groups = (
            self.trainable_variables,
            self.non_trainable_variables,
            self.optimizer.variables,
            self.metrics_variables,
        )
        pairs = [
            pair
            for variables, values in zip(groups, state, strict=True)
            for pair in zip(variables, values, strict=True)
        ]
        with keras.StatelessScope(state_mapping=pairs) as scope:
            logs = self.neutral_step(*batch)
        return logs, tuple([scope.get_current_value(v) for v in group] for group in groups)

    def batch_objective(self, *, training: bool) -> Objective:
        """The compiled loss of the model, of a batch or per sample."""
        return Objective(self, loss_spec(self, None, type(self).__name__), training=training)

    def training_pass(self, x: Any, *, training: bool = True) -> tuple[Any, list]:
        """Predictions and regularization losses of a pass, in training mode by default."""
        with keep_losses(self):
            y_pred = self(x, training=training)
            return y_pred, list(self.losses)

    def losses_of(self, y: Any, y_pred: Any) -> Any:
        """The compiled loss of every sample, shape `(batch,)`."""
        return sample_losses(loss_spec(self, None, type(self).__name__), y, y_pred)

    def losses_and_outputs(self, x: Any, y: Any) -> tuple[Any, Any, list]:
        """Losses per sample, predictions and regularization losses of a pass in training mode."""
        y_pred, penalties = self.training_pass(x)
        return self.losses_of(y, y_pred), y_pred, penalties

    def compiled_loss(self, x: Any, y: Any, sample_weight: Any) -> Any:
        """What Keras trains on, a scalar, metrics updated: for an objective of `counted`."""
        return self.compiled_loss_and_outputs(x, y, sample_weight)[0]

    def compiled_loss_and_outputs(self, x: Any, y: Any, sample_weight: Any) -> tuple[Any, Any]:
        """The same, and the predictions."""
        with keep_losses(self):
            y_pred = self(x, training=True)
            loss = self.compute_loss(
                x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, training=True
            )
        # In here the predictions still carry their mask.
        self.compute_metrics(x, y, y_pred, sample_weight)
        return loss, y_pred

    def apply_step(self, function: StepFunction, *args: Any, count: Any) -> dict[str, Any]:
        """One update of the compiled optimizer on the scalar that `function` gives; the logs.

        `count` is the number of samples that the loss stands for.
        """
        loss, gradients, updates = function.value_and_grad(*args, commits=True)
        commit_updates(updates)
        self.optimizer.apply(gradients, self.trainable_variables)
        self._loss_tracker.update_state(loss, sample_weight=count)
        return self.get_metrics_result()

    def counted(self, fn: Callable) -> StepFunction:
        """`fn` as the objective of the step: what it assigns to weights and metrics is kept."""
        return self.step_function(fn, [*self.non_trainable_variables, *self.metrics_variables])

    def step_function(self, fn: Callable, others: Any = (), of: Any = None) -> StepFunction:
        """`fn` to be differentiated inside a step, by the trainable variables or those of `of`."""
        return StepFunction(fn, self.trainable_variables if of is None else of, others)

    def outside_step(self, fn: Callable, *arrays: Any) -> Any:
        """`fn(*arrays)` compiled, for calls between steps or after training; writes no variable.

        It is compiled once for the name of `fn` and the compiled loss.
        """

        def build():
            pure = PureFunction(fn, [], self.variables)

            def traced(values, other_values, *args):
                with active_backend().no_recording():
                    return pure(values, other_values, *args)[0]

            return BuiltFunction(pure, traced)

        sync_model(self)
        key = (fn.__name__, id(self._compile_loss))
        return cached(self, key, self._compile_loss, build)(*arrays)

    def train_weighted(self, x: Any, y: Any, weights: Any, sample_weight: Any) -> dict[str, Any]:
        """One update of the compiled optimizer on `sum_i weights_i * loss_i` plus `model.losses`.

        `weights` already contain `sample_weight`, which only the weighted metrics take from here.
        BatchNormalization and Dropout see the whole batch. Returns the logs of the metrics.
        """

        def weighted_loss(x, y, weights):
            losses, y_pred, penalties = self.losses_and_outputs(x, y)
            total = ops.sum(ops.cast(weights, losses.dtype) * losses)
            for penalty in penalties:
                total = total + ops.cast(ops.sum(penalty), total.dtype)
            # In here the predictions still carry their mask.
            self.compute_metrics(x, y, y_pred, sample_weight)
            return total

        function = self.counted(weighted_loss)
        return self.apply_step(function, x, y, weights, count=ops.shape(weights)[0])

    def state_weight(
        self, name: str, shape: tuple, initializer: Any = "zeros", *, trainable: bool = False
    ) -> keras.Variable:
        """A float32 variable of the wrapper, also after `build`; not trained by default."""
        with _unlocked(self):
            return self.add_weight(
                name=name,
                shape=shape,
                initializer=initializer,
                dtype="float32",
                trainable=trainable,
            )

    def state_metrics(self, names: list[str]) -> list[keras.metrics.Mean]:
        """Means over the epoch that appear in the logs under these names."""
        trackers = [keras.metrics.Mean(name=name) for name in names]
        with _unlocked(self):
            self._metrics.extend(trackers)
        return trackers

    def commit(self, updates: list) -> None:
        """Keep what a pass assigned: `updates` of a step function."""
        commit_updates(updates)

    def rebuild_steps(self) -> None:
        """Have the compiled steps traced anew, after a change that they took for constant."""
        rebuild_step_functions(self)


@contextlib.contextmanager
def _unlocked(model: keras.Model) -> Iterator[None]:
    was_locked = model._tracker.locked
    model._tracker.unlock()
    try:
        yield
    finally:
        if was_locked:
            model._tracker.lock()
