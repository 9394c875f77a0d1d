"""The layer that trains another layer under quantization."""

from __future__ import annotations

from types import SimpleNamespace

import keras

from keras_compress._weight_wrapper import WeightWrapper
from keras_compress.quantization.quantizer import Quantizer
from keras_compress.quantization.supported import matrices, refusal

#: How to wrap a layer by hand, for messages.
EXAMPLE = "kc.layers.QuantizeAware(keras.layers.Dense(...), weight=...)"


@keras.saving.register_keras_serializable(package="keras_compress")
class QuantizeAware(WeightWrapper):
    """A layer that computes with quantized weights and trains the float ones.

    Use it to build a quantization-aware model by hand, for example inside a subclassed model;
    `quantize_aware` wraps the layers of an existing model. Each call runs the inner layer with its
    weight matrices replaced by `weight(matrix)` and its input by `activation(input)`. The inner
    layer keeps its float master weights, which the optimizer updates, and with them its
    constraints, its bias and the rest of its state. Weight regularizers act on the master weights,
    once; losses the inner layer adds and its activity regularizer count once, too.

    Every matrix gets a quantizer of its own, a copy of `weight`, in `weight_quantizers` by the name
    of the matrix (`"kernel"`); `activation_quantizer` is the copy of `activation`. Learned weight
    scales start from the matrix. A learned activation scale starts for inputs of unit variance:
    set it with `activation_quantizer.initialize_from(inputs)`, or use `quantize_aware`, which
    calibrates.

    Supported: `Dense`, `EinsumDense`, `Conv1D`, `Conv2D`, `Conv3D`, their transposes,
    `DepthwiseConv1D`, `DepthwiseConv2D`, `SeparableConv1D`, `SeparableConv2D` and subclasses.

    Args:
        layer: Layer to wrap, built or not.
        weight: `Quantizer` for the weight matrices, or `None` to leave them as they are. Its
            default `axis=-1` stands for the output channels of the layer (the last two dimensions
            of a depthwise kernel, the third of a transposed 2D convolution); a matrix with a
            single value per channel gets one scale. Defaults to `None`.
        activation: `Quantizer` for the input, or `None`. Its default `axis=-1` stands for one
            scale. Defaults to `None`.
        **kwargs: Arguments of `keras.layers.Layer`. `name` and `trainable` default to those of the
            inner layer; `dtype` follows the inner layer.

    Returns:
        Called with an input of the inner layer: what the inner layer returns.

    Raises:
        TypeError: If `weight` or `activation` is no `Quantizer`.
        ValueError: If the layer is not supported or `activation` is made for weights only.

    Example:

    ```python
    import keras
    import keras_compress as kc

    dense = keras.layers.Dense(10)
    model = keras.Sequential([
        keras.Input((20,)),
        kc.layers.QuantizeAware(dense, weight=kc.quantizers.LSQQuantizer(bits=4)),
    ])
    ```

    Reference:
        None; the training scheme is that of Jacob et al., "Quantization and Training of Neural
        Networks for Efficient Integer-Arithmetic-Only Inference", CVPR 2018, arXiv 1712.05877,
        section 3.

    Cost:
        Quantization of each weight matrix on each call, for learned scales about ten elementwise
        operations per weight; nothing per sample unless activations are quantized.
    """

    def __init__(
        self,
        layer: keras.layers.Layer,
        *,
        weight: Quantizer | None = None,
        activation: Quantizer | None = None,
        **kwargs,
    ):
        if isinstance(layer, keras.layers.Layer) and (reason := refusal(layer)):
            raise ValueError(f"`layer` ({layer.name!r}) cannot be wrapped: {reason}.")
        _check_quantizer("weight", weight)
        _check_quantizer("activation", activation)
        if activation is not None and not activation.supports_activations:
            raise ValueError(
                f"`activation`: {type(activation).__name__} is for weights only. Use LSQQuantizer."
            )
        super().__init__(layer, **kwargs)
        # If set, called with the inputs of each call; for calibration with eager calls.
        self.observer = None
        self.weight_quantizers: dict[str, Quantizer] = {}
        self.activation_quantizer: Quantizer | None = None
        # Quantizers given as arguments are only copied from; held here, Keras does not track them.
        self._given = SimpleNamespace(weight=weight, activation=activation)

    @property
    def weight(self) -> Quantizer | None:
        """The quantizer given for the weights; `weight_quantizers` holds its working copies."""
        return self._given.weight

    @property
    def activation(self) -> Quantizer | None:
        """The quantizer given for the input; `activation_quantizer` is its working copy."""
        return self._given.activation

    def build(self, input_shape):
        if not self.layer.built:
            self.layer.build(input_shape)
        if self.weight is not None:
            for matrix in matrices(self.layer):
                axis = matrix.axis if self.weight.axis == -1 else self.weight.axis
                quantizer = _copy(self.weight, axis, f"{matrix.name}_quantizer")
                quantizer.build_from(matrix.variable)
                quantizer.trainable = self.trainable
                self.weight_quantizers[matrix.name] = quantizer
        if self.activation is not None:
            axis = None if self.activation.axis == -1 else self.activation.axis
            quantizer = _copy(self.activation, axis, "input_quantizer")
            quantizer.build((None, *input_shape[1:]))
            quantizer.trainable = self.trainable
            self.activation_quantizer = quantizer

    def quantized_matrices(self) -> dict[str, tuple[keras.Variable, Quantizer]]:
        """Name -> (master variable, its quantizer) of the quantized weight matrices."""
        return {
            matrix.name: (matrix.variable, self.weight_quantizers[matrix.name])
            for matrix in matrices(self.layer)
            if matrix.name in self.weight_quantizers
        }

    # No `mask` argument: Keras would store it in the graph of a functional model, where a plain
    # layer does not expect it. The inner layer finds the mask on its input.
    def call(self, inputs, training=None):
        if self.layer.quantization_mode is not None:
            raise ValueError(
                f"Layer {self.name!r}: the inner layer was quantized by Keras "
                f"({self.layer.quantization_mode}). Use `freeze` before `model.quantize`."
            )
        if self.observer is not None:
            self.observer(inputs)
        if self.activation_quantizer is not None:
            inputs = self.activation_quantizer(inputs)
        return self.call_layer(inputs, training)

    def replaced_values(self):
        return {
            id(variable): quantizer(variable.value)
            for variable, quantizer in self.quantized_matrices().values()
        }

    def get_config(self) -> dict:
        config = super().get_config()
        for name in ("weight", "activation"):
            quantizer = getattr(self, name)
            config[name] = (
                None if quantizer is None else keras.saving.serialize_keras_object(quantizer)
            )
        return config

    @classmethod
    def from_config(cls, config: dict, custom_objects: dict | None = None):
        config = dict(config)
        for name in ("layer", "weight", "activation"):
            if isinstance(config.get(name), dict):
                config[name] = keras.saving.deserialize_keras_object(
                    config[name], custom_objects=custom_objects
                )
        return cls(**config)


def _check_quantizer(argument, quantizer):
    if quantizer is not None and not isinstance(quantizer, Quantizer):
        raise TypeError(
            f"`{argument}` must be a keras_compress Quantizer or None, got {quantizer!r} of type "
            f"{type(quantizer).__name__}. For plain bit widths use `quantize_aware(model)`."
        )


def _copy(quantizer, axis, name):
    return type(quantizer).from_config({**quantizer.get_config(), "axis": axis, "name": name})
