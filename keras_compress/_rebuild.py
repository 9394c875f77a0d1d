"""A new model from an old one, some layers replaced by others."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import keras

from keras_reweight.core.model_kind import has_own_constructor, is_functional
from keras_reweight.core.selection import all_layers

Replace = Callable[[keras.layers.Layer], "keras.layers.Layer | list[keras.layers.Layer]"]


def check_rebuildable(model: keras.Model, caller: str, wrapper: str) -> None:
    """Raise unless `model` is a Functional or Sequential model with symbolic inputs.

    `wrapper` is the code of a wrapped layer, for the advice of what to do instead.
    """
    if not is_open(model):
        raise ValueError(
            f"{caller}: model {model.name!r} is a subclassed {type(model).__name__}, whose layers "
            "are called by its own code. Wrap the layers in its constructor, "
            f"`self.dense = {wrapper}`, or "
            "build the model with keras.Sequential or keras.Model(inputs, outputs)."
        )
    if not hasattr(model, "inputs"):
        raise ValueError(
            f"{caller}: Sequential model {model.name!r} could not infer the shapes of its layers "
            "when it was built. Start it with keras.Input, and give its custom layers a "
            "`compute_output_shape`."
        )


def graph_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """The layers of `model`, Functional and Sequential models in it opened, each layer once."""
    found: dict[int, keras.layers.Layer] = {}

    def visit(parent):
        for layer in parent.layers:
            if isinstance(layer, keras.layers.InputLayer) or id(layer) in found:
                continue
            if isinstance(layer, keras.Model) and is_open(layer):
                visit(layer)
            else:
                found[id(layer)] = layer

    visit(model)
    return list(found.values())


def rebuild(
    model: keras.Model,
    replace: Replace,
    *,
    make_operation: Callable | None = None,
    input_shape: Callable | None = None,
) -> tuple[keras.Model, dict]:
    """A model of the same kind, every layer `replace(layer)`, with no values copied.

    Args:
        model: A built Functional or Sequential `keras.Model`.
        replace: `layer -> new layer`, called once per layer; `copy_layer` for a plain copy. A list
            of layers is a chain of them in the place of one; an empty one leaves the layer out.
        make_operation: `operation -> new operation` for what is no layer, such as `x + y`, or a
            list that starts with it; a plain copy by default.
        input_shape: `symbolic input -> shape with batch axis` for the inputs of the model and of
            models in it; the same as before by default.

    Returns:
        The uncompiled new model and a dict `id(old layer) -> (old layer, new layer or list)`.
    """
    pairs: dict[int, tuple] = {}
    others = (make_operation or _copy_operation, input_shape or (lambda tensor: tensor.shape))
    new = _rebuild(model, replace, pairs, *others)
    # Before those of the layers (`copy_state`): the flag of a model overwrites theirs.
    _copy_trainable(model, new, pairs)
    return new, {key: pair for key, pair in pairs.items() if not is_open(pair[0])}


class _Chain:
    """Layers called one after another in the place of one; without any the input passes."""

    def __init__(self, layers: list):
        self.layers = layers

    def __call__(self, *args, **kwargs):
        if not self.layers:
            return args[0] if args else next(iter(kwargs.values()))
        outputs = self.layers[0](*args, **kwargs)
        for layer in self.layers[1:]:
            outputs = layer(outputs)
        return outputs


def copy_layer(layer: keras.layers.Layer) -> keras.layers.Layer:
    """A new layer from the configuration of `layer`, without its values."""
    try:
        if isinstance(layer, keras.layers.Lambda):
            return _copy_lambda(layer)
        return type(layer).from_config(layer.get_config())
    except (AttributeError, KeyError, TypeError, ValueError, NotImplementedError) as error:
        raise ValueError(
            f"Layer {layer.name!r} ({type(layer).__name__}) cannot be copied from its "
            f"configuration: {error} Define `get_config` and register its classes with "
            "keras.saving.register_keras_serializable."
        ) from error


def _copy_lambda(layer):
    """Hand the functions over: a config holds them as code, which is not to be loaded."""
    output_shape = layer.get_config().get("output_shape")
    if isinstance(output_shape, dict):
        # A serialized function; the layer's own method calls it.
        output_shape = layer.compute_output_shape
    return type(layer)(
        layer.function,
        output_shape=output_shape,
        mask=layer.mask,
        arguments=layer.arguments,
        name=layer.name,
        trainable=layer.trainable,
        dtype=layer.dtype_policy,
    )


def copy_state(source: keras.layers.Layer, target: keras.layers.Layer) -> None:
    """Copy variables (random seed states included) and `trainable` flags between equal layers."""
    old, new = source.variables, target.variables
    shapes = [[variable.shape for variable in variables] for variables in (old, new)]
    if len(all_layers(source)) != len(all_layers(target)) or shapes[0] != shapes[1]:
        raise ValueError(
            f"Layer {source.name!r} ({type(source).__name__}) has {len(old)} variables, its copy "
            f"has {len(new)} or other shapes. Its `get_config` does not describe it completely."
        )
    copy_trainable_flags(source, target)
    for before, after in zip(old, new, strict=True):
        # Through NumPy: on JAX two variables must not share a buffer.
        after.assign(keras.ops.convert_to_numpy(before.value))
        after.trainable = before.trainable


def copy_trainable_flags(source: keras.layers.Layer, target: keras.layers.Layer) -> None:
    """Give a layer and those in it the `trainable` flags of an equal layer."""
    layers = [source, *all_layers(source)], [target, *all_layers(target)]
    for before, after in zip(*layers, strict=True):
        after.trainable = before.trainable


def is_open(layer: keras.layers.Layer) -> bool:
    """Whether a layer is a Functional or Sequential model, made of known calls."""
    return isinstance(layer, keras.Sequential) or is_functional(layer)


def _copy_operation(operation):
    return type(operation).from_config(operation.get_config())


def _rebuild(model, replace, pairs, make_operation, input_shape):
    others = (make_operation, input_shape)
    operations: dict = {}

    def called(layer):
        new = substitute(layer)
        return _Chain(new) if isinstance(new, list) else new

    def substitute(layer):
        if not isinstance(layer, keras.layers.Layer):  # an operation such as `x + y`
            if id(layer) not in operations:
                operations[id(layer)] = make_operation(layer)
            return operations[id(layer)]
        if id(layer) not in pairs:
            opened = isinstance(layer, keras.Model) and is_open(layer)
            new = _rebuild(layer, replace, pairs, *others) if opened else replace(layer)
            pairs[id(layer)] = (layer, new)
        return pairs[id(layer)][1]

    own = has_own_constructor(model)
    if own:
        warnings.warn(
            f"{type(model).__name__} has a constructor of its own, so the result is a plain "
            "keras.Model with the same layers; methods such as `train_step` are not carried over.",
            stacklevel=4,
        )
    inside = {id(variable) for layer in model.layers for variable in layer.weights}
    outside = [one.path for one in model.weights if id(one) not in inside]
    if outside:
        warnings.warn(
            f"Weights {outside} of model {model.name!r} belong to no layer of its graph and are "
            "not carried over.",
            stacklevel=4,
        )
    if isinstance(model, keras.Sequential):
        kind = keras.Sequential if own else type(model)
        first = model.inputs[0]
        inputs = keras.Input(
            batch_shape=input_shape(first),
            dtype=first.dtype,
            sparse=first.sparse,
            name=first.name,
        )
        new = [substitute(layer) for layer in model.layers]
        flat = [one for each in new for one in (each if isinstance(each, list) else [each])]
        return kind([inputs, *flat], name=model.name)
    # A twin around the same layers is not compiled; cloning a compiled model would compile the
    # clone with copies of the losses and of the optimizer.
    kind = keras.Model if own else type(model)
    twin = kind(model.input, model.output, name=model.name)
    return keras.models.clone_model(
        twin, input_tensors=_new_inputs(model, input_shape), clone_function=called
    )


def _new_inputs(model, input_shape):
    inputs = {}
    for layer in model.layers:
        if isinstance(layer, keras.layers.InputLayer):
            config = {**layer.get_config(), "batch_shape": input_shape(layer.output)}
            inputs[layer.output.name] = keras.layers.InputLayer.from_config(config).output
    return keras.tree.map_structure(lambda tensor: inputs[tensor.name], model.input)


def _copy_trainable(model, new, pairs):
    new.trainable = model.trainable
    for layer in model.layers:
        if isinstance(layer, keras.Model) and is_open(layer):
            _copy_trainable(layer, pairs[id(layer)][1], pairs)
