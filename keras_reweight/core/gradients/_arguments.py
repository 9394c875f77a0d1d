"""Checking and completing the arguments that all model-level gradient functions share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import tree

from keras_reweight.core.gradients._function import check_variables
from keras_reweight.core.gradients._loss_terms import LossSpec, loss_spec, terms
from keras_reweight.core.gradients._scope import in_stateless_scope
from keras_reweight.core.selection import all_layers, select_layers
from keras_reweight.core.state import sync_model
from keras_reweight.core.validation import check_boolean, check_built


@dataclass
class Arguments:
    """A call such as `value_and_grad(model, x, y, ...)`, checked."""

    model: keras.Model
    x: Any
    y: Any
    sample_weight: Any
    spec: LossSpec
    variables: list
    training: bool

    @property
    def data(self) -> tuple:
        """What the objective takes."""
        return self.x, self.y, self.sample_weight

    @property
    def others(self) -> list:
        """Variables of the model that are not differentiated."""
        chosen = {id(variable) for variable in self.variables}
        return [variable for variable in self.model.variables if id(variable) not in chosen]

    def key(self) -> tuple:
        """What a function built for these arguments depends on, besides model and data."""
        losses = [*tree.flatten(self.spec.loss), *tree.flatten(self.spec.loss_weights)]
        return (
            tuple(id(variable) for variable in self.variables),
            tuple(loss if isinstance(loss, (str, float, int)) else id(loss) for loss in losses),
            self.training,
        )


def check_arguments(
    caller: str,
    model: keras.Model,
    x: Any,
    y: Any,
    *,
    loss: Any = None,
    sample_weight: Any = None,
    training: bool = False,
    variables: Any = None,
    per_sample: bool = False,
    of_inputs: bool = False,
) -> Arguments:
    """Everything that can be wrong is found here, before anything runs or changes.

    `per_sample` functions take the samples one by one; `of_inputs` ones differentiate no variables.

    Raises:
        ValueError: For an unbuilt model, a missing loss, unequal numbers of samples, labels that do
            not fit the outputs, an unknown selection, or batch statistics in a per-sample function.
        TypeError: For arguments of the wrong kind.
    """
    check_built(model, caller)
    check_boolean("training", training)
    if y is None:
        raise ValueError(f"{caller}: `y` is None, but the loss needs labels.")
    if per_sample and training:
        _refuse_batch_statistics(caller, model)
    chosen = [] if of_inputs else select_variables(model, variables, caller)
    spec = loss_spec(model, loss, caller)
    x, y, sample_weight = (_standardize(model, part) for part in (x, y, sample_weight))
    _check_sizes(caller, x, y, sample_weight)
    _check_known_outputs(model, spec, y, sample_weight)
    if not in_stateless_scope():
        sync_model(model)
    return Arguments(model, x, y, sample_weight, spec, chosen, bool(training))


def select_variables(model: keras.Model, variables: Any, caller: str) -> list:
    """The variables meant by a `variables=` argument: `None`, variables, or a layer selection."""
    if variables is None:
        chosen = list(model.trainable_variables)
        if not chosen:
            raise ValueError(f"{caller}: model {model.name!r} has no trainable variables.")
        return chosen
    items = list(variables) if isinstance(variables, (list, tuple)) else [variables]
    if items and all(isinstance(item, keras.Variable) for item in items):
        known = {id(variable) for variable in model.variables}
        for variable in items:
            if id(variable) not in known:
                raise ValueError(
                    f"{caller}: variable {variable.path!r} does not belong to model {model.name!r}."
                )
            if not keras.backend.is_float_dtype(variable.dtype):
                raise ValueError(
                    f"{caller}: variable {variable.path!r} has dtype {variable.dtype}; only "
                    "floating point variables have gradients."
                )
        return check_variables("variables", items)
    layers = select_layers(
        model,
        items or variables,
        candidates=all_layers(model),
        accept=lambda layer: None if layer.trainable_variables else "has no trainable variables",
        argument="variables",
    ).touched
    return check_variables(
        "variables", [variable for layer in layers for variable in layer.trainable_variables]
    )


def _refuse_batch_statistics(caller, model):
    for layer in all_layers(model):
        if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable:
            raise ValueError(
                f"{caller}: `training=True` with the BatchNormalization layer {layer.path!r} makes "
                "the samples of a batch depend on each other, so a single sample has no gradient "
                "of its own. Use `training=False`, or freeze the layer (`layer.trainable = False`)."
            )


def _standardize(model, structure):
    float_dtype = "float64" if model.compute_dtype == "float64" else keras.config.floatx()

    def convert(leaf):
        if leaf is None or keras.ops.is_tensor(leaf):
            return leaf
        if isinstance(leaf, keras.Variable):
            return keras.ops.convert_to_tensor(leaf)
        leaf = np.asarray(leaf)
        return leaf.astype(float_dtype) if leaf.dtype == np.float64 else leaf

    return tree.map_structure(convert, structure)


def _check_sizes(caller, x, y, sample_weight):
    sizes = {}
    for name, structure in (("x", x), ("y", y), ("sample_weight", sample_weight)):
        for leaf in tree.flatten(structure):
            if leaf is None:
                continue
            if len(leaf.shape) == 0:
                raise ValueError(
                    f"{caller}: `{name}` must hold arrays with a batch axis, got a scalar. Nested "
                    "Python lists of numbers are not arrays: use `np.array`."
                )
            if leaf.shape[0] is not None:
                sizes.setdefault(int(leaf.shape[0]), []).append(name)
    if not any(leaf is not None for leaf in tree.flatten(x)):
        raise ValueError(f"{caller}: `x` holds no array.")
    if len(sizes) > 1:
        raise ValueError(
            f"{caller}: the arrays hold different numbers of samples: "
            + ", ".join(f"{size} in {sorted(set(names))}" for size, names in sizes.items())
            + "."
        )
    if 0 in sizes:
        raise ValueError(f"{caller}: `x` and `y` hold no samples.")


def _check_known_outputs(model, spec, y, sample_weight):
    """Functional and Sequential models know their outputs: compare the labels with those."""
    outputs = getattr(model, "_outputs_struct", None)
    if outputs is None:
        functional = getattr(model, "_functional", None)
        outputs = getattr(functional, "_outputs_struct", None)
    if outputs is not None:
        terms(spec, y, outputs, sample_weight)
