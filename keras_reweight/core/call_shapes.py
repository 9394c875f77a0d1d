"""The shapes that go into and come out of layers, without computing anything."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import keras
from keras import tree

from keras_reweight.core.gradients._closed_form import _replaced
from keras_reweight.core.model_kind import is_functional
from keras_reweight.core.validation import check_built

Shape = tuple[int, ...]


@dataclass(frozen=True)
class LayerCall:
    """One call of a layer: shapes of its tensors by argument name, and of what it returns."""

    layer: keras.layers.Layer
    inputs: dict[str, list[Shape]]
    outputs: list[Shape]

    @property
    def first(self) -> Shape:
        """Shape of the first input tensor."""
        return next(shape for shapes in self.inputs.values() for shape in shapes)


def call_shapes(
    model: keras.Model, layers: Iterable[keras.layers.Layer], input_shapes: Any = None
) -> list[LayerCall]:
    """Every call of `layers` in one inference pass of `model`, in order, traced symbolically.

    Works for subclassed and nested models too: the pass is the model's own code.

    Args:
        model: A built `keras.Model`.
        layers: The layers of interest.
        input_shapes: As `symbolic_inputs` takes it.

    Returns:
        List of `LayerCall`. A layer whose calls get no tensor by position or keyword is left out.
    """
    calls: list[LayerCall] = []
    inputs = symbolic_inputs(model, input_shapes)

    class Pass(keras.Operation):
        def call(self, inputs):
            # The torch backend tries twice: on its meta device, and, if that fails, for real.
            calls.clear()
            return model(inputs, training=False)

    with contextlib.ExitStack() as stack:
        for layer in layers:
            stack.enter_context(_replaced(layer, "call", _recording(layer, calls)))
        Pass().compute_output_spec(inputs)
    return calls


def symbolic_inputs(model: keras.Model, input_shapes: Any = None) -> Any:
    """Inputs of a model as `keras.KerasTensor`, one sample unless the model fixes its batch.

    Args:
        model: A built `keras.Model`.
        input_shapes: Shape of one sample (a tuple of integers, without the batch axis), or a list,
            tuple or dict of such shapes as the model takes its inputs; a `keras.KerasTensor` in
            place of a shape names the dtype, too, and its shape has the batch axis. `None` for the
            shapes the model was built with.

    Raises:
        ValueError: If an axis has no size, or the shapes are nowhere to be found.
        TypeError: If a shape is no tuple of integers.
    """
    check_built(model, "symbolic_inputs")
    known = _known_inputs(model)
    if input_shapes is None:
        if known is not None:
            return tree.map_structure(_sized, known)
        found = (model.get_build_config() or {}).get("input_shape")
        if found is None:
            raise ValueError(
                f"`input_shapes`=None, and model {model.name!r} does not say what it takes. Give "
                "the shape of one sample, such as (32, 32, 3)."
            )
        return _from_shapes(found, None, has_batch=True)
    return _from_shapes(input_shapes, known, has_batch=False)


def _known_inputs(model):
    """The symbolic inputs a model was made with, in its structure; `None` for subclassed models."""
    if is_functional(model):
        return model.input
    # A Sequential model has no `input` until it is part of another one.
    return model.inputs[0] if hasattr(model, "inputs") else None


def _from_shapes(shapes, known, *, has_batch):
    if isinstance(shapes, keras.KerasTensor):
        return _sized(shapes)
    if isinstance(shapes, dict):
        known = known if isinstance(known, dict) else {}
        return {
            name: _from_shapes(shape, known.get(name), has_batch=has_batch)
            for name, shape in shapes.items()
        }
    if not isinstance(shapes, (list, tuple)):
        raise TypeError(
            f"`input_shapes` takes tuples of integers, or lists or dicts of these, got {shapes!r} "
            f"of type {type(shapes).__name__}."
        )
    if shapes and all(isinstance(one, (list, tuple, dict, keras.KerasTensor)) for one in shapes):
        parts = known if isinstance(known, (list, tuple)) else [None] * len(shapes)
        if len(parts) != len(shapes):
            raise ValueError(
                f"`input_shapes`={shapes!r} has {len(shapes)} shapes for {len(parts)} inputs."
            )
        return [
            _from_shapes(one, part, has_batch=has_batch)
            for one, part in zip(shapes, parts, strict=True)
        ]
    shape = tuple(shapes)[1:] if has_batch else tuple(shapes)
    if not all(isinstance(size, int) or size is None for size in shape):
        raise TypeError(f"`input_shapes` must hold integers, got {shapes!r}.")
    dtype = known.dtype if isinstance(known, keras.KerasTensor) else keras.backend.floatx()
    return _sized(keras.KerasTensor((None, *shape), dtype=dtype))


def _sized(tensor):
    batch, *sizes = tensor.shape
    if None in sizes:
        raise ValueError(
            f"`input_shapes`: the input of shape {tuple(tensor.shape)} has an axis without a size. "
            "Give the shape of one sample, such as (32, 32, 3)."
        )
    return keras.KerasTensor((batch or 1, *sizes), dtype=tensor.dtype)


def _recording(layer, calls):
    original = layer.call
    signature = inspect.signature(original)

    def call(*args, **kwargs):
        outputs = original(*args, **kwargs)
        given = signature.bind(*args, **kwargs).arguments
        inputs = {name: shapes for name, value in given.items() if (shapes := _shapes(value))}
        if inputs:
            calls.append(LayerCall(layer, inputs, _shapes(outputs)))
        return outputs

    return call


def _shapes(structure):
    return [
        tuple(leaf.shape)
        for leaf in tree.flatten(structure)
        if keras.ops.is_tensor(leaf) or isinstance(leaf, keras.KerasTensor)
    ]
