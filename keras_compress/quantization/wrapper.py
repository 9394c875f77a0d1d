"""The layer that trains another layer under quantization."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import keras

from keras_compress.quantization._given_quantizers import (
    Given,
    by_name,
    check_quantizers,
    deserialized,
    given_values,
    layer_name,
    serialized,
    with_bits,
    working_copy,
)
from keras_compress.quantization._parts_wrapper import PartsWrapper
from keras_compress.quantization.folded_batch_norm import FoldedBatchNorm
from keras_compress.quantization.preserved import (
    ClusterAssignment,
    check_preserve,
    keep_zeros,
    preserves,
)
from keras_compress.quantization.supported import (
    Matrix,
    Part,
    input_refusal,
    refusal,
)
from keras_compress.quantizers.quantizer import Quantizer
from keras_reweight.core.replaced_methods import on_first_input, replaced_methods

#: How to wrap a layer by hand, for messages.
EXAMPLE = "kc.layers.QuantizeAware(keras.layers.Dense(...), weight=...)"


@keras.saving.register_keras_serializable(package="keras_compress")
class QuantizeAware(PartsWrapper):
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

    Supported: `Dense`, `EinsumDense`, `Embedding`, `Conv1D`, `Conv2D`, `Conv3D`, their transposes,
    `DepthwiseConv1D`, `DepthwiseConv2D`, `SeparableConv1D`, `SeparableConv2D`, `FoldedBatchNorm`,
    `RNN` with any cells (so `LSTM`, `GRU`, `SimpleRNN`, `ConvLSTM`; kernels and recurrent kernels),
    `Bidirectional`, `TimeDistributed`, subclasses of these, and every layer or model made of them,
    such as `MultiHeadAttention`, `GroupQueryAttention` or the blocks of KerasHub. It takes the
    arguments of the layer it wraps. A matrix further inside is called by the attributes that lead
    to it, `"query_dense/kernel"`, and each inner layer has an input of its own, in
    `input_quantizers` by the same name without the matrix.

    Args:
        layer: Layer to wrap, built or not.
        weight: `Quantizer` for the weight matrices, or `None` to leave them as they are. Its
            default `axis=-1` stands for the output channels of the layer (the last two dimensions
            of a depthwise kernel, the third of a transposed 2D convolution, the rows of an
            embedding table); a matrix with a single value per channel gets one scale. Or a dict
            from names of matrices to these; others stay as they are. Defaults to `None`.
        activation: `Quantizer` for the input, or `None`. Its default `axis=-1` stands for one
            scale. Or a dict from the names of inner layers to these. The states of a recurrent
            layer and the ids of an embedding stay as they are. Defaults to `None`.
        preserve: `"sparsity"` to hold weights that are zero at zero, `"clusters"` to let weights
            that are equal (at most 256 different values) stay equal, a tuple of both, or `None`.
            Clusters are those of the weights when `remember_clusters` is called, as
            `quantize_aware` does. Defaults to `None`.
        **kwargs: Arguments of `keras.layers.Layer`. `name` and `trainable` default to those of the
            inner layer; `dtype` follows the inner layer.

    Returns:
        Called with the arguments of the inner layer: what the inner layer returns.

    Raises:
        TypeError: If `weight` or `activation` is no `Quantizer` and no dict of them.
        ValueError: If the layer is not supported, `activation` is made for weights only, `preserve`
            is unknown or the quantizer cannot do it, or a name belongs to no matrix.

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
        Quantization of each weight matrix on each call, for learned scales about five elementwise
        operations per weight forward and six backward; nothing per sample unless activations are
        quantized.
    """

    def __init__(
        self,
        layer: keras.layers.Layer,
        *,
        weight: Given = None,
        activation: Given = None,
        preserve: str | tuple[str, ...] | None = None,
        **kwargs,
    ):
        if isinstance(layer, keras.layers.Layer) and layer.built and (reason := refusal(layer)):
            raise ValueError(f"`layer` ({layer.name!r}) cannot be wrapped: {reason}.")
        check_quantizers("weight", weight)
        check_quantizers("activation", activation, of_activations=True)
        check_preserve(preserve, given_values(weight), layer)
        super().__init__(layer, **kwargs)
        # If set, called with the inputs of each call, by the name of the part; for calibration
        # with eager calls.
        self.observers: dict[str, Any] = {}
        self.weight_quantizers: dict[str, Quantizer] = {}
        self.input_quantizers: dict[str, Quantizer] = {}
        self.clusters: dict[str, ClusterAssignment] = {}
        # Arguments are only copied from; held here, Keras does not track them.
        self._given = SimpleNamespace(weight=weight, activation=activation, preserve=preserve)

    @property
    def weight(self) -> Any:
        """What was given for the weights; `weight_quantizers` holds the working copies."""
        return self._given.weight

    @property
    def activation(self) -> Any:
        """What was given for the inputs; `input_quantizers` holds the working copies."""
        return self._given.activation

    @property
    def preserve(self) -> str | tuple[str, ...] | None:
        """What training must not change about the weights."""
        return self._given.preserve

    @property
    def activation_quantizer(self) -> Quantizer | None:
        """The quantizer of the input of the inner layer itself, if there is one."""
        return self.input_quantizers.get("")

    def build(self, input_shape):
        super().build(input_shape)
        if reason := refusal(self.layer):
            raise ValueError(f"`layer` ({self.layer.name!r}) cannot be wrapped: {reason}.")
        known = {one.name: one for part in self.parts for one in part.matrices}
        for name, quantizer in by_name("weight", self.weight, known).items():
            self._add_weight_quantizer(known[name], quantizer)
        accepting = {part.name: part for part in self.parts if input_refusal(part) is None}
        for name, quantizer in by_name("activation", self.activation, accepting).items():
            self._add_input_quantizer(accepting[name], quantizer, input_shape)

    def _add_weight_quantizer(self, matrix: Matrix, given: Quantizer):
        axis = matrix.axis if given.axis == -1 else given.axis
        quantizer = working_copy(given, axis, f"{matrix.name}_quantizer")
        quantizer.build_from(matrix.variable)
        quantizer.trainable = self.trainable
        self.weight_quantizers[matrix.name] = quantizer
        if preserves(self.preserve, "clusters"):
            assignment = ClusterAssignment(name=layer_name(f"{matrix.name}_clusters"))
            assignment.build(matrix.variable.shape)
            self.clusters[matrix.name] = assignment

    def _add_input_quantizer(self, part: Part, given: Quantizer, input_shape):
        if part.name:
            input_shape = (part.layer.get_build_config() or {}).get("input_shape", input_shape)
        quantizer = working_copy(
            given, None if given.axis == -1 else given.axis, f"{part.name}_input"
        )
        quantizer.build((None, *input_shape[1:]))
        quantizer.trainable = self.trainable
        self.input_quantizers[part.name] = quantizer

    def quantized_matrices(self) -> dict[str, tuple[keras.Variable, Quantizer]]:
        """Name -> (master variable, its quantizer) of the quantized weight matrices."""
        return {
            matrix.name: (matrix.variable, self.weight_quantizers[matrix.name])
            for part in self.parts
            for matrix in part.matrices
            if matrix.name in self.weight_quantizers
        }

    def set_weight_bits(self, bits: int, *, restart_scales: bool = True) -> None:
        """Quantize the weights with `bits` from now on, also in saved copies of the layer.

        Learned scales start again from the weights. A step that is compiled already does not see
        the change.
        """
        self._given.weight = with_bits(self.weight, bits)
        values = self.float_matrices()
        for name, (_, quantizer) in self.quantized_matrices().items():
            quantizer.bits = bits
            if restart_scales:
                quantizer.initialize_from(values[name])

    def float_matrices(self) -> dict[str, Any]:
        """Name -> the tensor that is quantized: the variable, or the folded kernel."""
        values = {
            name: self._clustered(name, variable)
            for name, (variable, _) in self.quantized_matrices().items()
        }
        for part in self.parts:
            if (name := _folded_name(part)) in values:
                values[name] = part.layer.folded_kernel()
        return values

    def computed_matrices(self) -> dict[str, Any]:
        """Name -> the tensor that inference computes with."""
        return {name: self._rounded(name, value) for name, value in self.float_matrices().items()}

    def remember_clusters(self) -> None:
        """Take the weights that are equal now for the clusters of `preserve="clusters"`."""
        for name, (variable, _) in self.quantized_matrices().items():
            if name in self.clusters:
                self.clusters[name].remember(variable, f"{self.name}: {name}")

    def _clustered(self, name, variable):
        value = variable.value
        return self.clusters[name](value) if name in self.clusters else value

    def _rounded(self, name, value):
        rounded = self.weight_quantizers[name](value)
        return keep_zeros(value, rounded) if preserves(self.preserve, "sparsity") else rounded

    def replaced_values(self):
        folded = {_folded_name(part) for part in self.parts}
        return {
            id(variable): self._rounded(name, self._clustered(name, variable))
            for name, (variable, _) in self.quantized_matrices().items()
            if name not in folded
        }

    def call(self, *args, **kwargs):
        changes = []
        for part in self.parts:
            if getattr(part.layer, "quantization_mode", None) is not None:
                raise ValueError(
                    f"Layer {self.name!r}: the inner layer was quantized by Keras "
                    f"({part.layer.quantization_mode}). Use `freeze` before `model.quantize`."
                )
            if (name := _folded_name(part)) in self.weight_quantizers:
                changes.append((part.layer, "finish_kernel", self._finishing(name)))
            if part.name in self.observers or part.name in self.input_quantizers:
                change = on_first_input(self._input_of(part.name))
                if part.name:
                    changes.append((part.layer, "call", change))
                else:
                    # Before the inner layer casts to a compute dtype.
                    args, kwargs = change(lambda *a, **k: (a, k))(*args, **kwargs)
        with replaced_methods(changes):
            return self.run_layer(self.replaced_values(), *args, **kwargs)

    def _input_of(self, name):
        def quantized(inputs):
            if name in self.observers:
                self.observers[name](inputs)
            quantizer = self.input_quantizers.get(name)
            return inputs if quantizer is None else quantizer(inputs)

        return quantized

    def _finishing(self, name):
        return lambda finish: lambda kernel: self._rounded(name, finish(kernel))

    def get_config(self) -> dict:
        given = {"weight": self.weight, "activation": self.activation}
        return {
            **super().get_config(),
            **{name: serialized(value) for name, value in given.items()},
            "preserve": self.preserve,
        }

    @classmethod
    def from_config(cls, config: dict, custom_objects: dict | None = None):
        config = dict(config)
        for name in ("layer", "weight", "activation"):
            config[name] = deserialized(config.get(name), custom_objects)
        if isinstance(config.get("preserve"), list):
            config["preserve"] = tuple(config["preserve"])
        return cls(**config)


def _folded_name(part):
    return part.layer.folded_variable.name if isinstance(part.layer, FoldedBatchNorm) else None
