"""Training on several losses whose weights are found inside the step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
from keras import ops, tree

from keras_reweight.core.functional_step import FunctionalStepModel
from keras_reweight.core.term_losses import term_losses
from keras_reweight.tasks._objectives import (
    check_objectives,
    initial,
    shared_positions,
    statistics_of,
    task_names,
)
from keras_reweight.tasks.samo import SAMO
from keras_reweight.tasks.task_balancer import TaskBalancer


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

    `<task>_loss` and `<task>_weight` are in the logs of `fit` (means over the epoch), and so in the
    event files of `keras.callbacks.TensorBoard`.

    Args:
        model: A built `keras.Model`.
        balancer: `TaskBalancer`.
        objectives: Dict from names to functions `(predict, x, y) -> scalar`, where `predict(x)` is
            the model in training mode, or `None` for the compiled losses. Defaults to `None`.
        shared: Layers whose weights all tasks share, as layer names, a predicate, a `re.Pattern`,
            layers or a list of these; `None` for all. Defaults to `None`.
        perturb: `SAMO`, if the gradients are to be those at neighbors of the weights. Defaults to
            `None`.
        name: String. Defaults to `"loss_balancing"`.
        **kwargs: Arguments of `keras.Model`.

    Returns:
        A `keras.Model` for `compile` and `fit`; `model` is the trained model afterwards.

    Raises:
        TypeError: If `model`, `balancer`, `objectives` or `perturb` is of another kind.
        ValueError: If `model` is not built, there are fewer than two losses, `shared` chooses
            nothing that is trained, or `perturb` meets a balancer that is trained itself.

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
        `SAMO` says what it costs.
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
        perturb: SAMO | None = None,
        name: str = "loss_balancing",
        **kwargs: Any,
    ):
        if not isinstance(balancer, TaskBalancer):
            raise TypeError(f"`balancer` must be a TaskBalancer, got {balancer!r}.")
        check_objectives(objectives)
        if perturb is not None and not isinstance(perturb, SAMO):
            raise TypeError(f"`perturb` must be a SAMO or None, got {perturb!r}.")
        if perturb is not None and balancer.learned(2):
            raise ValueError(
                f"`perturb`={perturb!r} needs weights of gradients, and `balancer`={balancer!r} "
                "is trained on the losses themselves."
            )
        super().__init__(model, name=name, **kwargs)
        self.balancer = balancer
        self.shared = shared
        self.perturb = perturb
        objectives = None if objectives is None else dict(objectives)
        self._hold(objectives=objectives, _shared=shared_positions(self, shared))

    def _hold(self, **attributes):
        # Past the attribute trackers, which would wrap the containers.
        for name, value in attributes.items():
            object.__setattr__(self, name, value)

    def compile(self, optimizer="rmsprop", loss=None, **kwargs):
        names = task_names(self.model, self.objectives, loss)
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

    def neutral_step(self, x, y, sample_weight):
        if self.balancer.needs or self.perturb is not None:
            return self._step_of_gradients(x, y, sample_weight)

        def total(x, y):
            losses, penalty = self._terms(x, y, sample_weight)
            weights = self._balance(ops.stop_gradient(ops.stack(losses)))
            self._track(losses, weights)
            if self._learned:
                learned = {key: ops.convert_to_tensor(v) for key, v in self._learned.items()}
                return self.balancer.combined(ops.stack(losses), learned) + penalty
            return ops.sum(weights * ops.stack(losses)) + penalty

        count = ops.shape(tree.flatten(x)[0])[0]
        return self.apply_step(self.counted(total), x, y, count=count)

    def _step_of_gradients(self, x, y, sample_weight):
        passes = self._one_pass if self.perturb is None else self._perturbed_passes
        losses, added, gradients, penalty = passes(x, y, sample_weight)
        stacked = ops.stack(losses)
        weights = self._balance(stacked, gradients)
        shared = set(self._shared)
        total = []
        for place, extra in enumerate(penalty):
            parts = [one[place] for one in gradients]
            if place in shared:
                parts = [ops.cast(weights[k], part.dtype) * part for k, part in enumerate(parts)]
            total.append(sum(parts) + extra)
        self.optimizer.apply(total, self.trainable_variables)
        self._track(losses, weights)
        count = ops.shape(tree.flatten(x)[0])[0]
        self._loss_tracker.update_state(ops.sum(weights * stacked) + added, sample_weight=count)
        return self.get_metrics_result()

    def _one_pass(self, x, y, sample_weight):
        """Losses, penalty, the gradient of each loss and that of the penalty."""

        def scalars(x, y):
            losses, penalty = self._terms(x, y, sample_weight)
            return [*losses, penalty]

        found, gradients, updates = self.counted(scalars).values_and_grads(x, y, commits=True)
        self.commit(updates)
        return found[:-1], found[-1], gradients[:-1], gradients[-1]

    def _perturbed_passes(self, x, y, sample_weight):
        """The same with the gradient of each loss at a neighbor of its own."""

        def scalars(x, y):
            losses, penalty = self._terms(x, y, sample_weight)
            return [ops.mean(ops.stack(losses)), penalty, *losses]

        def terms(x, y):
            return self._terms(x, y, sample_weight, counts=False)[0]

        def evaluated(x, y):
            return self._terms(x, y, sample_weight, training=False, counts=False)[0]

        def loss(values, task):
            return self.counted(evaluated).value(x, y, values=values)[task]

        def slope(values, task):
            function = self.counted(lambda x, y: terms(x, y)[task])
            return function.value_and_grad(x, y, values=values)[1]

        variables = self.trainable_variables
        everything = list(range(len(variables)))
        own = [place for place in everything if place not in set(self._shared)]
        places = [everything, everything, *[own] * len(self._names)]
        found, slopes, updates = self.counted(scalars).values_and_grads(
            x, y, commits=True, places=places
        )
        values = [ops.convert_to_tensor(variable) for variable in variables]
        step = ops.cast(self.optimizer.iterations, "int32")
        gradients = []
        for task, parts in enumerate(slopes[2:]):
            known = dict(enumerate(slopes[0])) | dict(zip(own, parts, strict=True))
            moved = self.perturb.neighbor(loss, values, known, self._shared, step, task)
            gradients.append(slope(moved, task))
        self.commit(updates)
        return found[2:], found[1], gradients, slopes[1]

    def _terms(self, x, y, sample_weight, training=True, counts=True):
        """The losses as float32 scalars, and what is added with weight one."""
        if self.objectives is not None:
            values = [
                objective(lambda x: self(x, training=training), x, y)
                for objective in self.objectives.values()
            ]
            penalties = list(self.losses)
        else:
            y_pred, penalties = self.training_pass(x, training=training)
            values = list(term_losses(self, x, y, y_pred, sample_weight).values())
            if counts:
                # In here the predictions still carry their mask.
                self.compute_metrics(x, y, y_pred, sample_weight)
        penalty = ops.zeros((), "float32")
        for one in penalties:
            penalty = penalty + ops.cast(ops.sum(one), "float32")
        return [ops.reshape(ops.cast(value, "float32"), ()) for value in values], penalty

    def _balance(self, losses, gradients=None):
        # Copies: on torch an assignment changes the tensor that a variable gave.
        known = {**self._state, **self._learned}
        state = {key: ops.copy(ops.stop_gradient(variable)) for key, variable in known.items()}
        weights, state = self.balancer.weights(self._statistics(losses, gradients), state)
        for key, variable in self._state.items():
            variable.assign(state[key])
        return ops.stop_gradient(weights)

    def _statistics(self, losses, gradients):
        if gradients is not None:
            gradients = [[one[place] for place in self._shared] for one in gradients]
        step = ops.cast(self.optimizer.iterations, "int32")
        epoch = ops.cast(self.epoch, "int32")
        return statistics_of(self.balancer.needs, losses, gradients, step, epoch)

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
        perturb = keras.saving.serialize_keras_object(self.perturb)
        own = {"balancer": balancer, "objectives": None, "shared": self.shared, "perturb": perturb}
        return {**super().get_config(), **own}

    @classmethod
    def from_config(cls, config: dict, custom_objects: dict | None = None):
        made = {
            key: keras.saving.deserialize_keras_object(config[key], custom_objects=custom_objects)
            for key in ("balancer", "perturb")
        }
        return super().from_config({**config, **made}, custom_objects)
