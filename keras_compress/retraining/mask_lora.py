"""A low-rank update that fits into the pattern of a pruned weight."""

from __future__ import annotations

import math

import keras
from keras import layers, ops

from keras_compress._weight_wrapper import WeightWrapper
from keras_reweight.core.kernel_axes import kernel_axes
from keras_reweight.core.validation import check_choice, check_integer, check_number

MODES = ("mask", "scale", "prune")
#: How to wrap a layer by hand, for messages.
EXAMPLE = "kc.layers.MaskLoRA(keras.layers.Dense(...), rank=16)"
_KINDS = (
    layers.Dense,
    layers.EinsumDense,
    layers.Conv1D,
    layers.Conv2D,
    layers.Conv3D,
    layers.Conv1DTranspose,
    layers.Conv2DTranspose,
    layers.Conv3DTranspose,
)


@keras.saving.register_keras_serializable(package="keras_compress")
class MaskLoRA(WeightWrapper):
    """A layer whose pruned kernel stays as it is and learns a low-rank update of its survivors.

    Use it to retrain a pruned model with few trained weights; `add_mask_lora` wraps the layers of
    an existing model, `merge_lora` makes plain layers of them again. With the kernel `W`, seen as a
    matrix from inputs to outputs, its pattern `M = (W != 0)` and two trained matrices `A` of shape
    `(inputs, rank)` and `B` of shape `(rank, outputs)` the layer computes with

    - `"mask"`: `W + alpha / rank * M * (A B)`: starts from `W`, the update has the zeros of `W`;
    - `"scale"`: `W * (A B)`, both filled with `1 / sqrt(rank)`, so that it starts from `W`;
    - `"prune"`: `W + alpha / rank * (A B)`, dense while it trains; the pattern is applied by
      `merge_lora`, which changes what the model computes.

    In the first and the last mode `A` starts uniform in `±1 / sqrt(inputs)` and `B` at zero. The
    kernel gets no gradient; bias, losses and state of the layer are those of the layer. The pattern
    is read from the kernel in every call, so a weight that happens to be zero counts as pruned.

    Supported: `Dense`, `EinsumDense`, `Conv1D`, `Conv2D`, `Conv3D` and their transposes.

    Args:
        layer: Layer to wrap, built or not.
        rank: Integer >= 1, columns of `A`. Defaults to `16`.
        alpha: Float > 0, the update is scaled by `alpha / rank`; without effect for `"scale"`.
            Defaults to `32.0`.
        mode: `"mask"`, `"scale"` or `"prune"`. Defaults to `"mask"`.
        seed: Integer or `None`, for the start of `A`. Defaults to `None`.
        **kwargs: Arguments of `keras.layers.Layer`. `name` and `trainable` default to those of the
            inner layer; `dtype` follows the inner layer.

    Returns:
        Called with an input of the inner layer: what the inner layer returns.

    Raises:
        TypeError: If `rank` or `alpha` is no number.
        ValueError: If the layer is not supported, `rank` or `alpha` is not positive, or `mode` is
            unknown.

    Example:

    ```python
    import keras
    import keras_compress as kc

    dense = keras.layers.Dense(10)
    model = keras.Sequential([keras.Input((20,)), kc.layers.MaskLoRA(dense, rank=4)])
    assert {variable.name for variable in model.trainable_variables} == {"bias", "lora_a", "lora_b"}
    ```

    Reference:
        Zimmer et al., "PERP: Rethinking the Prune-Retrain Paradigm in the Era of LLMs",
        arXiv 2312.15230, section 3.3; github.com/ZIB-IOL/PERP.

    Deviations:
        Convolutions are updated as matrices from kernel positions and input channels to output
        channels; the official code treats linear layers only.

    Cost:
        One product `A B` of the size of the kernel a call; the backward pass goes through it.
    """

    def __init__(
        self,
        layer: keras.layers.Layer,
        *,
        rank: int = 16,
        alpha: float = 32.0,
        mode: str = "mask",
        seed: int | None = None,
        **kwargs,
    ):
        if isinstance(layer, keras.layers.Layer) and (reason := refusal(layer)):
            raise ValueError(f"`layer` ({layer.name!r}) cannot be wrapped: {reason}.")
        check_lora_arguments(rank, alpha, mode, seed)
        super().__init__(layer, **kwargs)
        self.rank = rank
        self.alpha = alpha
        self.mode = mode
        self.seed = seed

    def build(self, input_shape):
        if not self.layer.built:
            self.layer.build(input_shape)
        variable, _, rows, columns = self._matrix()
        variable.trainable = False
        if self.mode == "scale":
            first = second = keras.initializers.Constant(1.0 / math.sqrt(self.rank))
        else:
            bound = 1.0 / math.sqrt(rows)
            first = keras.initializers.RandomUniform(-bound, bound, seed=self.seed)
            second = "zeros"
        self.lora_a = self.add_weight(
            shape=(rows, self.rank), initializer=first, name="lora_a", trainable=self.trainable
        )
        self.lora_b = self.add_weight(
            shape=(self.rank, columns), initializer=second, name="lora_b", trainable=self.trainable
        )

    @property
    def kernel(self) -> keras.Variable:
        """The pruned kernel of the inner layer, which is not trained."""
        return self._matrix()[0]

    def effective_kernel(self, *, merged: bool = False):
        """The kernel the layer computes with, or (`merged`) the one that `merge_lora` leaves."""
        variable, order, _, _ = self._matrix()
        kernel = ops.stop_gradient(ops.convert_to_tensor(variable.value))
        update = ops.matmul(self.lora_a.value, self.lora_b.value)
        update = ops.reshape(update, [kernel.shape[axis] for axis in order])
        update = ops.transpose(update, [order.index(axis) for axis in range(len(order))])
        update = ops.cast(update, kernel.dtype)
        if self.mode == "scale":
            return kernel * update
        update = update * (self.alpha / self.rank)
        if self.mode == "mask" or merged:
            update = ops.where(kernel != 0, update, ops.zeros_like(update))
        return kernel + update

    def call(self, inputs, training=None):
        return self.call_layer(inputs, training)

    def replaced_values(self):
        return {id(self.kernel): self.effective_kernel()}

    def _matrix(self):
        """The kernel, its axes (inputs first, then outputs), number of inputs and of outputs."""
        kernel = self.layer.kernel
        places, inputs, outputs = kernel_axes(tuple(kernel.shape), self.layer)
        sizes = [math.prod(kernel.shape[axis] for axis in axes) for axes in (inputs, outputs)]
        rows = sizes[0] * math.prod(kernel.shape[axis] for axis in places)
        return kernel, [*places, *inputs, *outputs], rows, sizes[1]

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "rank": self.rank,
            "alpha": self.alpha,
            "mode": self.mode,
            "seed": self.seed,
        }


def refusal(layer: keras.layers.Layer) -> str | None:
    """Why `layer` cannot get a low-rank update, or `None` if it can."""
    if isinstance(layer, MaskLoRA):
        return "it has a low-rank update already"
    if not isinstance(layer, _KINDS):
        if any(len(variable.shape) >= 2 for variable in layer.weights):
            return f"{type(layer).__name__} is not supported"
        return f"{type(layer).__name__} has no kernel"
    if (mode := getattr(layer, "quantization_mode", None)) is not None:
        return f"quantized by Keras ({mode})"
    if getattr(layer, "lora_enabled", False):
        return "LoRA of Keras is enabled"
    return None


def check_lora_arguments(rank, alpha, mode, seed) -> None:
    """Raise for arguments no `MaskLoRA` takes."""
    check_integer("rank", rank, minimum=1)
    check_number("alpha", alpha, exclusive_minimum=0.0)
    check_choice("mode", mode, MODES)
    if seed is not None:
        check_integer("seed", seed)
