"""Per-sample gradient norms of a whole model from one batched backward pass.

The forward pass is watched: every layer with chosen variables hands over what its rule needs of the
input, and its pre-activation is tapped. One backward pass of the summed losses gives the gradients
at the taps; row `i` of them belongs to sample `i` alone, because the samples do not mix.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import keras
from keras import ops

from keras_reweight.core.gradients._backend import active_backend
from keras_reweight.core.gradients._closed_form_rules import RULES, Rule
from keras_reweight.core.gradients._function import BuiltFunction, PureFunction


class NoClosedForm(Exception):
    """The forward pass did something that the closed form does not cover."""


@dataclass
class Plan:
    """One layer to watch: its rule, and the terms of its chosen variables."""

    layer: keras.layers.Layer
    rule: Rule
    terms: list[tuple[Any, Callable]]


def plan_layers(model: keras.Model, variables: list) -> tuple[list[Plan], str | None]:
    """The layers to watch, and the reason why not, if there is one."""
    chosen = {id(variable) for variable in variables}
    plans, planned = [], set()
    for layer, parents in _walk(model):
        own = layer._trainable_variables + layer._non_trainable_variables
        if not any(id(variable) in chosen for variable in own):
            continue
        rule = RULES.get(type(layer))
        if rule is None:
            return [], f"layer {layer.path!r} is of type {type(layer).__name__}, which has no rule"
        repeating = [p for p in parents if isinstance(p, (keras.layers.Wrapper, keras.layers.RNN))]
        if repeating:
            return [], f"layer {layer.path!r} is called by the wrapper {repeating[0].path!r}"
        reason = rule.refuse(layer)
        if reason is not None:
            return [], f"layer {layer.path!r} {reason}"
        terms = [(v, term) for v, term in rule.terms(layer) if id(v) in chosen]
        for variable, _ in terms:
            if id(variable) in planned:
                return [], f"variable {variable.path!r} belongs to several layers"
            planned.add(id(variable))
        plans.append(Plan(layer, rule, terms))
    missing = [variable.path for variable in variables if id(variable) not in planned]
    return plans, f"no rule covers the variables {missing}" if missing else None


def _walk(model):
    """`(layer, parents)` for every layer once."""
    seen = set()
    stack = [(model, ())]
    while stack:
        layer, parents = stack.pop()
        if id(layer) in seen:
            continue
        seen.add(id(layer))
        yield layer, parents
        stack.extend((child, (*parents, layer)) for child in layer._layers)


@dataclass
class _Watch:
    """What one watched forward pass saw."""

    tap: Callable
    owners: dict[int, int]
    features: dict[str, Any] = field(default_factory=dict)
    calls: dict[int, int] = field(default_factory=dict)
    active: list[int] = field(default_factory=list)
    problem: str | None = None

    def on_read(self, variable):
        owner = self.owners.get(id(variable))
        if owner is not None and owner not in self.active:
            self.report(f"variable {variable.path!r} is used outside of its layer")

    def report(self, problem):
        self.problem = self.problem or problem


def build_closed_form(
    fn: Callable, variables: list, others: list, plans: list[Plan], reduce: Callable
) -> Callable:
    """`reduce(squares)` for `fn(*args) -> losses of shape (batch,)`.

    `squares` are the squared norms per sample of the variables, in the order of `variables`.
    """
    pure = PureFunction(fn, variables, others)

    def traced(values, other_values, *args):
        def watched(tap):
            owners = {id(v): id(plan.layer) for plan in plans for v, _ in plan.terms}
            watch = _Watch(tap, owners)
            pure.on_read = watch.on_read
            try:
                with _watching(plans, watch):
                    losses, _ = pure(values, other_values, *args)
            finally:
                pure.on_read = None
            if watch.problem is not None:
                raise NoClosedForm(watch.problem)
            return ops.sum(losses), (losses, watch.features)

        (losses, features), deltas = active_backend().tap_gradients(watched)
        squares = {id(variable): ops.zeros_like(losses) for variable in variables}
        for plan in plans:
            name = str(id(plan.layer))
            for variable, term in plan.terms if name in features else ():
                squares[id(variable)] = term(_float(features[name]), _float(deltas[name]))
        return reduce([squares[id(variable)] for variable in variables])

    return BuiltFunction(pure, traced)


def _float(tensor):
    """Half precision as float32; integers and wider floats as they are."""
    dtype = keras.backend.standardize_dtype(tensor.dtype)
    return ops.cast(tensor, "float32") if dtype in ("float16", "bfloat16") else tensor


@contextlib.contextmanager
def _watching(plans: list[Plan], watch: _Watch) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for plan in plans:
            activation = getattr(plan.layer, "activation", None)
            tapped = plan.rule.pre_activation and activation is not None
            call = _watched_call(plan, watch, tap_output=not tapped)
            stack.enter_context(_replaced(plan.layer, "call", call))
            if tapped:
                wrapped = _watched_activation(plan, watch, activation)
                stack.enter_context(_replaced(plan.layer, "activation", wrapped))
        yield


def _watched_call(plan, watch, tap_output):
    layer, original = plan.layer, plan.layer.call
    key, name = id(layer), str(id(layer))

    def call(inputs, *args, **kwargs):
        watch.calls[key] = watch.calls.get(key, 0) + 1
        if watch.calls[key] > 1:
            watch.report(f"layer {layer.path!r} is called more than once")
            return original(inputs, *args, **kwargs)
        watch.active.append(key)
        try:
            watch.features[name] = plan.rule.feature(layer, inputs)
            outputs = original(inputs, *args, **kwargs)
        finally:
            watch.active.remove(key)
        return watch.tap(name, outputs) if tap_output else outputs

    return call


def _watched_activation(plan, watch, original):
    key, name = id(plan.layer), str(id(plan.layer))

    def activation(inputs):
        if watch.calls.get(key, 0) > 1:
            return original(inputs)
        return original(watch.tap(name, inputs))

    return activation


@contextlib.contextmanager
def _replaced(layer, name, value):
    """An instance attribute for a while, past the attribute trackers of Keras and torch."""
    attributes = layer.__dict__
    missing = object()
    previous = attributes.get(name, missing)
    attributes[name] = value
    try:
        yield
    finally:
        if previous is missing:
            del attributes[name]
        else:
            attributes[name] = previous
