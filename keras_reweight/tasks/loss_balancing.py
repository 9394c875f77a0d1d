"""Training on several losses whose weights are found inside the step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
from keras import ops, tree

from keras_reweight.core.functional_step import FunctionalStepModel
from keras_reweight.core.selection import all_layers, select_layers
from keras_reweight.core.term_losses import term_losses
from keras_reweight.tasks.task_balancer import TaskBalancer, TaskStatistics


@keras.saving.register_keras_serializable(package="keras_reweight")
class LossBalancing(FunctionalStepModel):
    """Wraps a model with several losses and weighs them anew in every step.

    The losses are those of `compile`, one an output (times its compiled `loss_weights`), or
    `objectives`: functions `(predict, x, y) -> scalar` by name, as the residual and the boundary of
    a differential equation. The balancer sees the losses and, if it asks for them, the gradient of
    each; the update is the weighted sum. Regularization has weight one.

    With `shared` the balancer sees the gradients of these layers only, and its weights act on them
    only: what lies behind, the heads, follows the plain sum of the losses. Without, weights act on
    everything.

    `<task>_loss` and `<task>_weight` are in the logs of `fit` (means over the epoch).

    Args:
        model: A built `keras.Model`.
        balancer: `TaskBalancer`.
        objectives: Dict from names to functions `(predict, x, y) -> scalar`, where `predict(x)` is
            the model in training mode, or `None` for the compiled losses. Defaults to `None`.
        shared: Layers whose weights all tasks share, as layer names, a predicate, a `re.Pattern`,
            layers or a list of these; `None` for all. Defaults to `None`.
        name: String. Defaults to `"loss_balancing"`.
        **kwargs: Arguments of `keras.Model`.

    Returns:
        A `keras.Model` for `compile` and `fit`; `model` is the trained model afterwards.

    Raises:
        TypeError: If `model`, `balancer` or `objectives` is of another kind.
        ValueError: If `model` is not built, there are fewer than two losses, or `shared` chooses
            nothing that is trained.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    x = np.random.default_rng(0).normal(size=(32, 4)).astype("float32")
    inputs = keras.Input((4,))
    features = keras.layers.Dense(8, "relu", name="trunk")(inputs)
    heads = {key: keras.layers.Dense(1, name=key)(features) for key in ("a", "b")}
    trainer = kr.tasks.LossBalancing(
        keras.Model(inputs, heads), kr.tasks.PCGrad(), shared=["trunk"]
    )
    trainer.compile("adam", loss={"a": "mse", "b": "mse"})
    trainer.fit(x, {"a": x[:, :1], "b": -x[:, :1]}, verbose=0)
    ```

    Reference:
        None; the step all balancers share.

    Cost:
        One forward pass, and one backward pass a loss if the balancer asks for gradients, else one.
    """

    needs_loss = False
    knows_epochs = True

    def __init__(
        self,
        model: keras.Model,
        balancer: TaskBalancer,
        *,
        objectives: Mapping[str, Callable] | None = None,
        shared: Any = None,
        name: str = "loss_balancing",
        **kwargs: Any,
    ):
        if not isinstance(balancer, TaskBalancer):
            raise TypeError(f"`balancer` must be a TaskBalancer, got {balancer!r}.")
        _check_objectives(objectives)
        super().__init__(model, name=name, **kwargs)
        self.balancer = balancer
        self.shared = shared
        objectives = None if objectives is None else dict(objectives)
        self._hold(objectives=objectives, _shared=shared_positions(self, shared))

    def _hold(self, **attributes):
        # Past the attribute trackers, which would wrap the containers.
        for name, value in attributes.items():
            object.__setattr__(self, name, value)

    def compile(self, optimizer="rmsprop", loss=None, **kwargs):
        names = self._task_names(loss)
        if len(names) < 2:
            raise ValueError(
                f"LossBalancing.compile: `loss`={loss!r} gives {len(names)} losses, at least two "
                "are needed: compile a dict with one a output, or pass `objectives`."
            )
        self.balancer.check(len(names))
        super().compile(optimizer=optimizer, loss=loss, **kwargs)
        if getattr(self, "_names", None) == names:
            return
        state = {
            key: self.state_weight(f"balancer_{key}", value.shape, initial(value))
            for key, value in self.balancer.initial(len(names)).items()
        }
        learned = {
            key: self.state_weight(f"balancer_{key}", value.shape, initial(value), trainable=True)
            for key, value in self.balancer.learned(len(names)).items()
        }
        trackers = self.state_metrics(
            [f"{name}_{kind}" for kind in self._kinds() for name in names]
        )
        self._hold(_names=names, _state=state, _learned=learned, _trackers=trackers)

    def _kinds(self):
        # Keras itself reports the compiled losses.
        return ("loss", "weight") if self.objectives is not None else ("weight",)

    def _task_names(self, loss):
        if self.objectives is not None:
            return list(self.objectives)
        entries = loss if isinstance(loss, (dict, list, tuple)) else []
        if isinstance(entries, dict):
            return [str(key) for key, value in entries.items() if value is not None]
        names = list(getattr(self.model, "output_names", None) or [])
        names = names if len(names) == len(entries) else [f"task{i}" for i in range(len(entries))]
        return [name for name, value in zip(names, entries, strict=True) if value is not None]

    def neutral_step(self, x, y, sample_weight):
        count = ops.shape(tree.flatten(x)[0])[0]
        if self.balancer.needs:
            return self._step_of_gradients(x, y, sample_weight, count)

        def total(x, y):
            losses, penalty = self._terms(x, y, sample_weight)
            weights = self._balance(ops.stop_gradient(ops.stack(losses)))
            self._track(losses, weights)
            if self._learned:
                learned = {key: ops.convert_to_tensor(v) for key, v in self._learned.items()}
                return self.balancer.combined(ops.stack(losses), learned) + penalty
            return ops.sum(weights * ops.stack(losses)) + penalty

        return self.apply_step(self.counted(total), x, y, count=count)

    def _step_of_gradients(self, x, y, sample_weight, count):
        def scalars(x, y):
            losses, penalty = self._terms(x, y, sample_weight)
            return [*losses, penalty]

        found, gradients, updates = self.counted(scalars).values_and_grads(x, y, commits=True)
        losses, gradients, penalty = found[:-1], gradients[:-1], gradients[-1]
        self.commit(updates)
        weights = self._balance(ops.stack(losses), gradients)
        shared = set(self._shared)
        total = []
        for place, extra in enumerate(penalty):
            parts = [one[place] for one in gradients]
            if place in shared:
                parts = [ops.cast(weights[k], part.dtype) * part for k, part in enumerate(parts)]
            total.append(sum(parts) + extra)
        self.optimizer.apply(total, self.trainable_variables)
        self._track(losses, weights)
        loss = ops.sum(weights * ops.stack(losses)) + found[-1]
        self._loss_tracker.update_state(loss, sample_weight=count)
        return self.get_metrics_result()

    def _terms(self, x, y, sample_weight):
        """The losses as float32 scalars, and what is added with weight one."""
        if self.objectives is not None:
            predict = self._predict
            values = [objective(predict, x, y) for objective in self.objectives.values()]
            penalties = list(self.losses)
        else:
            y_pred, penalties = self.training_pass(x)
            values = list(term_losses(self, x, y, y_pred, sample_weight).values())
            # In here the predictions still carry their mask.
            self.compute_metrics(x, y, y_pred, sample_weight)
        penalty = ops.zeros((), "float32")
        for one in penalties:
            penalty = penalty + ops.cast(ops.sum(one), "float32")
        return [ops.reshape(ops.cast(value, "float32"), ()) for value in values], penalty

    def _predict(self, x):
        return self(x, training=True)

    def _balance(self, losses, gradients=None):
        # Copies: on torch an assignment changes the tensor that a variable gave.
        known = {**self._state, **self._learned}
        state = {key: ops.copy(ops.stop_gradient(variable)) for key, variable in known.items()}
        weights, state = self.balancer.weights(self._statistics(losses, gradients), state)
        for key, variable in self._state.items():
            variable.assign(state[key])
        return ops.stop_gradient(weights)

    def _statistics(self, losses, gradients):
        gram = largest = mean = None
        if gradients is not None:
            chosen = [[ops.cast(one[i], "float32") for i in self._shared] for one in gradients]
            if "gram" in self.balancer.needs:
                gram = _gram(chosen)
            if "magnitudes" in self.balancer.needs:
                kernels = [[abs(part) for part in one if len(part.shape) > 1] for one in chosen]
                largest = ops.stack([ops.stack([ops.max(part) for part in one]) for one in kernels])
                mean = ops.stack([ops.stack([ops.mean(part) for part in one]) for one in kernels])
        step = ops.cast(self.optimizer.iterations, "int32")
        return TaskStatistics(losses, gram, largest, mean, step, ops.cast(self.epoch, "int32"))

    def _track(self, losses, weights):
        values = [*losses] if self.objectives is not None else []
        values += [weights[place] for place in range(len(losses))]
        for tracker, value in zip(self._trackers, values, strict=True):
            tracker.update_state(ops.stop_gradient(value))

    @property
    def task_weights(self) -> dict[str, float]:
        """Mean weight of each task since the epoch began."""
        trackers = self._trackers[-len(self._names) :]
        return {
            name: float(tracker.result())
            for name, tracker in zip(self._names, trackers, strict=True)
        }

    def get_config(self) -> dict:
        if self.objectives is not None:
            raise ValueError(
                "LossBalancing with `objectives` holds functions of the user and cannot be saved: "
                "save `trainer.model`."
            )
        balancer = keras.saving.serialize_keras_object(self.balancer)
        own = {"balancer": balancer, "objectives": None, "shared": self.shared}
        return {**super().get_config(), **own}

    @classmethod
    def from_config(cls, config: dict, custom_objects: dict | None = None):
        balancer = keras.saving.deserialize_keras_object(
            config["balancer"], custom_objects=custom_objects
        )
        return super().from_config({**config, "balancer": balancer}, custom_objects)


def initial(value: np.ndarray):
    """An initializer that gives this array."""
    return lambda shape, dtype=None: ops.convert_to_tensor(value, dtype)


def shared_positions(model: keras.Model, shared: Any) -> list[int]:
    """Places among the trainable variables of those of the chosen layers."""
    variables = model.trainable_variables
    if shared is None:
        return list(range(len(variables)))
    candidates = all_layers(model.model)
    layers = select_layers(model.model, shared, candidates=candidates, argument="shared").touched
    chosen = {id(variable) for layer in layers for variable in layer.trainable_variables}
    places = [place for place, variable in enumerate(variables) if id(variable) in chosen]
    if not places:
        raise ValueError(
            f"`shared`={shared!r} chooses no trainable weight of model {model.model.name!r}."
        )
    return places


def _gram(gradients):
    flat = [ops.concatenate([ops.reshape(part, (-1,)) for part in one]) for one in gradients]
    rows = ops.stack(flat)
    return ops.matmul(rows, ops.transpose(rows))


def _check_objectives(objectives):
    if objectives is None:
        return
    if not isinstance(objectives, Mapping) or not all(callable(f) for f in objectives.values()):
        raise TypeError(
            "`objectives` must be a dict of functions (predict, x, y) -> scalar, got "
            f"{objectives!r}."
        )
