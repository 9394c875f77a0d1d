"""Which quantized weights and learned scales of a model a callback looks after."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import keras
from keras import ops

from keras_compress.quantization.folded_batch_norm import FoldedBatchNorm
from keras_compress.quantizers.quantizer import Quantizer
from keras_reweight.core.selection import layers_by_path, select_layers
from keras_reweight.core.validation import check_built


@dataclass(eq=False)
class Target:
    """A variable, its quantizer and layer, and what is remembered of it in the step."""

    path: str
    variable: keras.Variable
    quantizer: Quantizer
    layer: keras.layers.Layer
    is_scale: bool = False
    state: dict[str, keras.Variable] = field(default_factory=dict)

    def value(self, key: str):
        """The remembered tensor, valid inside a compiled step."""
        return ops.convert_to_tensor(self.state[key])

    def copied(self):
        """The values of the variable; on torch the tensor itself follows the next update."""
        return ops.copy(ops.convert_to_tensor(self.variable))

    def codes(self, x):
        """Integer codes of a tensor under the present scale, int32."""
        return self.quantizer.codes(x)[0]


def find_matrices(
    model: keras.Model, layers: Any, caller: str, *, in_step: bool = True
) -> list[Target]:
    """The quantized weight matrices that are trained.

    `in_step`: whether their codes are needed where the weights are updated. There the optimizer
    sees trained variables only, so a grid that depends on others is refused, with the reason.
    Otherwise their bits are what is asked for.
    """
    unsuitable = _hidden_grid if in_step else _fixed_bits

    def trained(layer):
        return [item for item in layer.quantized_matrices().values() if item[0].trainable]

    def matrices(layer):
        return [
            Target(variable.path, variable, quantizer, layer)
            for variable, quantizer in trained(layer)
            if not unsuitable(layer, variable, quantizer)
        ]

    def refusal(layer):
        if matrices(layer):
            return None
        reasons = [unsuitable(layer, *item) for item in trained(layer)]
        return reasons[0] if reasons else "it has no quantized weights that are trained"

    return _find(model, layers, caller, matrices, refusal)


def _hidden_grid(layer, variable, quantizer):
    """Why the codes do not follow from trained variables, or `None` if they do."""
    for inner in layers_by_path(layer).values():
        if isinstance(inner, FoldedBatchNorm) and inner.folded_variable is variable:
            return "its codes depend on the statistics of a folded batch normalization"
    if quantizer.non_trainable_variables:
        return f"the grid of its {type(quantizer).__name__} is not trained"
    return None


def _fixed_bits(layer, variable, quantizer):
    """Why the bits of a matrix cannot be changed, or `None` if they can."""
    return None if hasattr(layer, "set_weight_bits") else "its bits cannot be changed"


def find_scales(
    model: keras.Model, layers: Any, caller: str, *, required: bool = True
) -> list[Target]:
    """The learned scales of weights and activations."""

    def scales(layer):
        return [
            Target(variable.path, variable, quantizer, layer, is_scale=True)
            for quantizer in layers_by_path(layer).values()
            if isinstance(quantizer, Quantizer)
            for variable in quantizer.trainable_variables
            if variable.name == "scale"
        ]

    def refusal(layer):
        return "it has no learned scale that is trained" if required and not scales(layer) else None

    return _find(model, layers, caller, scales, refusal)


def quantized_layers(model: keras.Model, caller: str) -> list[keras.layers.Layer]:
    """The layers of a built model that compute with quantized weights, at any depth."""
    check_built(model, caller)
    found = [
        layer
        for layer in layers_by_path(model).values()
        if callable(getattr(layer, "quantized_matrices", None))
    ]
    if not found:
        raise ValueError(
            f"{caller}: model {model.name!r} has no quantization-aware layer. Make them with "
            "`kc.quantize_aware(model)`."
        )
    return found


def _find(
    model: keras.Model,
    layers: Any,
    caller: str,
    targets: Callable[[keras.layers.Layer], list[Target]],
    refusal: Callable[[keras.layers.Layer], str | None],
) -> list[Target]:
    candidates = quantized_layers(model, caller)
    chosen = select_layers(model, layers, accept=refusal, candidates=candidates)
    return [target for layer in chosen.touched for target in targets(layer)]
