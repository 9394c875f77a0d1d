"""Train, prune, rewind, and train again."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_compress.pruning.allocations.allocation import Allocation
from keras_compress.pruning.context import PruningContext, check_pattern
from keras_compress.pruning.criteria.criterion import Criterion, host_value
from keras_compress.pruning.lowest_masks import next_masks
from keras_compress.pruning.patterns.pattern import Pattern
from keras_compress.pruning.prunable_weights import find_prunable_weights
from keras_compress.pruning.prune_weights import resolve_parts
from keras_compress.pruning.sparsity_rule import SparsityRule
from keras_compress.retraining._fixed_masks import FixedMasks, WeightsAtStep, host_weights
from keras_compress.retraining._round_files import RoundFiles
from keras_compress.retraining.pruning_round import PruningRound
from keras_reweight.core.files import digest
from keras_reweight.core.optimizer_reset import OptimizerStart
from keras_reweight.core.schedules import ScheduleLike, value_at
from keras_reweight.core.validation import check_integer, check_number, check_sparsity

_REWINDS = ("initial", "learning_rate")


def iterative_prune(
    model: keras.Model,
    fit: Callable[[keras.Model, list[keras.callbacks.Callback]], Any],
    *,
    rounds: int,
    amount: ScheduleLike | SparsityRule = 0.2,
    rewind: str | int | Sequence[np.ndarray] | None = "initial",
    criterion: Criterion | None = None,
    allocation: Allocation | None = None,
    pattern: Pattern | None = None,
    layers: Any = None,
    stop: Callable[[list[PruningRound]], bool] | None = None,
    directory: str | os.PathLike | None = None,
) -> list[PruningRound]:
    """Find a sparse model in rounds: train, prune a share of what is left, rewind, train again.

    The most accurate way to prune, and the most expensive one: `rounds + 1` trainings. With
    `rewind="initial"` the weights that survive go back to where they began, which gives the winning
    tickets of the lottery ticket hypothesis. Large models need `rewind=k`, the weights after `k`
    steps of the first training (late rewinding). `"learning_rate"` keeps the trained weights and
    repeats the training with its learning rate schedule, which is as accurate and the safe choice;
    `None` goes on training as plain fine-tuning does: the optimizer forgets its momentum, but goes
    on counting steps.

    All weights and statistics of the model are rewound, not only those that are pruned. The
    optimizer begins anew each round; `fit` may also compile the model itself. After the last round
    the model holds the weights that `fit` left, with zeros in them (see `KeepSparsity`).

    With a `directory` every finished round is saved; called again after a kill, with the same
    arguments, the run goes on with the round that was not finished. `rounds` may be raised then.
    For the same numbers as without the kill, `fit` must seed what it draws.

    Args:
        model: A built `keras.Model`; it is trained and pruned in place.
        fit: Function `(model, callbacks)` that trains the model for one round and hands these
            callbacks to `model.fit`. It may return the `History`, a dict of metrics, or `None`.
        rounds: Integer >= 0, how often to prune.
        amount: Float in `[0, 1)`, share of the surviving weights to prune in a round; a `Schedule`
            or callable of the round (1, 2, ...) that gives the total sparsity; or a `SparsityRule`
            such as `SAP`. Defaults to `0.2`.
        rewind: `"initial"`, an integer >= 1 (a step of the first training), weights as
            `model.get_weights()` gives them, `"learning_rate"`, or `None`. Defaults to `"initial"`.
        criterion: A `Criterion`, scored after each training. Defaults to `Magnitude()`.
        allocation: An `Allocation`. Defaults to `GlobalAllocation()`.
        pattern: A `Pattern`, which weights go together. Defaults to single weights.
        layers: Layer names, paths, `re.Pattern`, layers, predicates or a list of these; `None`
            takes all kernels and embeddings that are trained.
        stop: Function of the list of finished rounds; true ends the run, when accuracy collapses
            for example. Defaults to `None`.
        directory: Path of a directory of this run alone. Defaults to `None`, nothing is saved.

    Returns:
        List of `PruningRound`, the dense training first.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If an argument is outside its range, the model is not built, nothing can be
            pruned, `directory` holds a run of another configuration, `fit` does not use the
            callbacks, or the first training is shorter than `rewind` steps.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_compress as kc

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(16), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    x = np.random.default_rng(0).normal(size=(32, 8)).astype("float32")

    def fit(model, callbacks):
        return model.fit(x, x[:, :1], verbose=0, callbacks=callbacks)

    rounds = kc.retraining.iterative_prune(model, fit, rounds=2, amount=0.5)
    assert [round.sparsity for round in rounds] == [0.0, 0.5, 0.75]
    ```

    Reference:
        Frankle and Carbin, "The Lottery Ticket Hypothesis", arXiv 1803.03635 (rewinding to the
        beginning); Frankle et al., "Stabilizing the Lottery Ticket Hypothesis", arXiv 1903.01611
        (late rewinding); Renda et al., "Comparing Rewinding and Fine-tuning in Neural Network
        Pruning", arXiv 2003.02389 (learning rate rewinding).

    Cost:
        `rounds + 1` trainings. One copy of all weights in memory; with `directory` one file of all
        weights and masks a round.
    """
    parts = _Parts(model, fit, amount, rewind, criterion, allocation, pattern, layers, stop)
    check_integer("rounds", rounds, minimum=0)
    files = None if directory is None else RoundFiles(os.fspath(directory), parts.config())
    start = None if files is None else files.load_start()
    if start is None:
        start = host_weights(model)
        if files is not None:
            files.save_start(start)
    target: list[np.ndarray] | None
    if rewind == "initial":
        target = start
    else:
        target = None if rewind is None or isinstance(rewind, (str, int)) else list(rewind)
    _assign(model, start)
    optimizer, finished, step = OptimizerStart(model), [], 0
    masks = [np.ones(tuple(variable.shape), "bool") for variable in parts.context.variables]
    for index in range(rounds + 1):
        known = None if files is None else files.load_round(index)
        if known is not None:
            _assign(model, known["weight"])
            masks, metrics, step = known["mask"], known["metrics"], known["iterations"]
            target = known["rewind"] or target
        else:
            if index:
                masks = parts.pruned(masks, index)
                if target is not None:
                    _assign(model, target)
                _mask(parts.context.variables, masks)
                optimizer.restore(iterations=parts.first_step(step))
            metrics, captured = parts.train(masks, capture=index == 0)
            step, target = optimizer.iterations, captured or target
            if files is not None:
                files.save_round(
                    index,
                    weight=host_weights(model),
                    mask=masks,
                    rewind=captured or [],
                    metrics=metrics,
                    iterations=step,
                )
        sparsity = 1.0 - sum(mask.sum() for mask in masks) / sum(mask.size for mask in masks)
        held = dict(zip(parts.context.paths, masks, strict=True))
        finished.append(PruningRound(index, float(sparsity), metrics, held))
        if stop is not None and stop(finished):
            break
    return finished


class _Parts:
    """The checked arguments and what is done with them in a round."""

    def __init__(self, model, fit, amount, rewind, criterion, allocation, pattern, layers, stop):
        for name, value in (("fit", fit), *([] if stop is None else [("stop", stop)])):
            if not callable(value):
                raise TypeError(f"`{name}` must be callable, got {value!r}.")
        if not callable(amount) and not isinstance(amount, SparsityRule):
            check_number("amount", amount, minimum=0.0, exclusive_maximum=1.0)
        self.criterion, self.allocation = resolve_parts(criterion, allocation)
        self.pattern = check_pattern(pattern)
        weights = find_prunable_weights(model, layers, caller="iterative_prune")
        _check_rewind(model, rewind)
        self.model, self.fit, self.amount, self.rewind = model, fit, amount, rewind
        self.layers = layers
        self.context = PruningContext.of(model, weights, self.pattern)

    def config(self):
        """What a resumed run must have in common with the one that was killed."""
        rewind = self.rewind
        if not (rewind is None or isinstance(rewind, (str, int))):
            rewind = digest({str(i): np.asarray(array) for i, array in enumerate(rewind)})
        parts = {"amount": self.amount, "criterion": self.criterion}
        parts |= {"allocation": self.allocation, "pattern": self.pattern}
        return {
            **{name: _described(part) for name, part in parts.items()},
            "rewind": rewind,
            "pruned shapes": [list(variable.shape) for variable in self.context.variables],
            "all shapes": [list(variable.shape) for variable in self.model.weights],
        }

    def pruned(self, masks, index):
        """The masks of the next round, from the weights as they are trained now."""
        variables = self.context.variables
        if isinstance(self.amount, SparsityRule):
            target = self.amount.targets([host_value(v) for v in variables], masks)
        elif callable(self.amount):
            target = float(value_at(self.amount, index))
            check_sparsity(f"amount at round {index}", target)
        else:
            target = 1.0 - (1.0 - self.amount) ** index
        scores = self.criterion.scores(self.model, variables)
        return next_masks(scores, self.allocation, target, masks, self.context)

    def first_step(self, last):
        """Where the optimizer begins to count, given where it has ended."""
        if self.rewind is None:
            return last
        return self.rewind if isinstance(self.rewind, int) else 0

    def train(self, masks, capture):
        """Metrics of the round, and the weights to rewind to if this is where they come from."""
        step = self.rewind if capture and isinstance(self.rewind, int) else None
        callbacks = [FixedMasks(masks, layers=self.layers)]
        if step is not None:
            callbacks.append(WeightsAtStep(step))
        result = self.fit(self.model, callbacks)
        for variable, mask in zip(self.context.variables, masks, strict=True):
            if callbacks[0].report is None or (host_value(variable)[~mask] != 0).any():
                raise ValueError("`fit` must hand the callbacks it is given to `model.fit`.")
        if step is None:
            return _metrics(result), None
        if callbacks[1].weights is None:
            raise ValueError(f"`rewind`={step}: the first training has fewer steps.")
        return _metrics(result), callbacks[1].weights


def _check_rewind(model, rewind):
    if rewind is None or (isinstance(rewind, str) and rewind in _REWINDS):
        return
    if isinstance(rewind, str) or isinstance(rewind, (bool, float)):
        raise ValueError(
            f"`rewind` must be one of {_REWINDS}, a step, weights or None, got {rewind!r}."
        )
    if isinstance(rewind, int):
        check_integer("rewind", rewind, minimum=1)
        return
    if not isinstance(rewind, (list, tuple)):
        raise TypeError(
            f"`rewind` must be one of {_REWINDS}, a step, weights or None, got {rewind!r}."
        )
    shapes = [np.shape(array) for array in rewind]
    expected = [tuple(variable.shape) for variable in model.weights]
    if shapes != expected:
        raise ValueError(f"`rewind`: weights of shapes {shapes}, the model has {expected}.")


def _described(part):
    if callable(part) and not hasattr(part, "get_config"):
        return getattr(part, "__qualname__", type(part).__name__)
    if hasattr(part, "get_config"):
        return keras.saving.serialize_keras_object(part)
    return type(part).__name__ if not isinstance(part, (int, float)) else part


def _metrics(result):
    if isinstance(result, keras.callbacks.History):
        result = {name: values[-1] for name, values in result.history.items()}
    if result is None:
        return {}
    if not isinstance(result, Mapping):
        raise TypeError(f"`fit` must return a History, a dict or None, it returned {result!r}.")
    return {str(name): float(value) for name, value in result.items()}


def _assign(model, values):
    for variable, value in zip(model.weights, values, strict=True):
        variable.assign(np.asarray(value))


def _mask(variables, masks):
    for variable, mask in zip(variables, masks, strict=True):
        kept = ops.convert_to_tensor(mask)
        variable.assign(ops.where(kept, ops.convert_to_tensor(variable), 0))
