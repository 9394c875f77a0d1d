"""The layers nearest to the input."""

from __future__ import annotations

import keras

from keras_reweight.core.validation import check_built, check_choice, check_integer
from keras_reweight.signatures.weight_selection import own_weights, weight_owners

_NORMALIZATIONS = (
    keras.layers.BatchNormalization,
    keras.layers.GroupNormalization,
    keras.layers.LayerNormalization,
    keras.layers.RMSNormalization,
)


@keras.saving.register_keras_serializable(package="keras_reweight")
class ShallowLayers:
    """What `shallow` returns: `resolve(model)` gives the layers."""

    def __init__(self, num_layers: int, *, head: bool = False, normalization: bool = True):
        check_integer("num_layers", num_layers, minimum=1)
        check_choice("head", head, (True, False))
        check_choice("normalization", normalization, (True, False))
        self.num_layers = num_layers
        self.head = head
        self.normalization = normalization

    def resolve(self, model: keras.Model) -> list[keras.layers.Layer]:
        """The chosen layers of a built model, first to last."""
        check_built(model, "shallow")
        owners = weight_owners(model)
        with_kernel = [layer for layer in owners if _has_kernel(layer)]
        available = with_kernel if self.head else with_kernel[:-1]
        if not available:
            raise ValueError(
                f"`shallow({self.num_layers}, head={self.head})` selects nothing: model "
                f"{model.name!r} has {len(with_kernel)} layers with a kernel, head included."
            )
        chosen = available[: self.num_layers]
        if not self.normalization:
            return chosen
        # What lies before the first kernel left out belongs to the chosen layers.
        left_out = with_kernel[len(chosen) :]
        end = _position(owners, left_out[0]) if left_out else len(owners)
        return [
            layer
            for layer in owners[:end]
            if isinstance(layer, _NORMALIZATIONS) or any(layer is other for other in chosen)
        ]

    def get_config(self) -> dict:
        return {
            "num_layers": self.num_layers,
            "head": self.head,
            "normalization": self.normalization,
        }

    @classmethod
    def from_config(cls, config: dict) -> ShallowLayers:
        return cls(**config)

    def __eq__(self, other) -> bool:
        return type(self) is type(other) and self.get_config() == other.get_config()

    def __hash__(self) -> int:
        return hash(tuple(self.get_config().values()))

    def __repr__(self) -> str:
        options = f"head={self.head}, normalization={self.normalization}"
        return f"shallow({self.num_layers}, {options})"


def shallow(num_layers: int, *, head: bool = False, normalization: bool = True) -> ShallowLayers:
    """Choose the first layers with a kernel, for a `layers=` argument.

    Robustness to corruptions of the input sits in the layers nearest to it, so a signature of the
    first few layers is small and does most of the work. Layers are counted in topological order
    (functional and sequential models) or in the order of their attributes (subclassed models),
    those inside nested models too; a layer counts if it owns a weight of two axes or more, so a
    multi-head attention counts as four. If there are fewer, all of them are taken.

    Args:
        num_layers: Integer >= 1, how many layers with a kernel.
        head: Boolean, whether the last layer with a kernel may be chosen. Defaults to `False`:
            the classifier is never patched.
        normalization: Boolean, whether normalization layers before the next layer with a kernel
            are chosen as well. Defaults to `True`.

    Returns:
        An object whose `resolve(model)` gives the list of layers.

    Raises:
        TypeError: If `num_layers` is not an integer.
        ValueError: If `num_layers` is smaller than 1, or an option not a boolean; when resolved, if
            the model has no layer to choose.

    Example:

    ```python
    import keras
    import keras_reweight as kr

    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(8, name="first"),
            keras.layers.Dense(8, name="second"),
            keras.layers.Dense(2, name="head"),
        ]
    )
    assert [layer.name for layer in kr.shallow(1).resolve(model)] == ["first"]
    assert [layer.name for layer in kr.shallow(7).resolve(model)] == ["first", "second"]
    ```

    Reference:
        Cai et al., "Robust Weight Signatures: Gaining Robustness as Easy as Patching Weights?",
        ICML 2023, arXiv 2302.12480; VITA-Group/Robust_Weight_Signatures, option `keep_num`.

    Deviations:
        The official code counts the convolutions of VGG16 and, for ResNet50, the stem and then
        whole bottleneck blocks; here every layer with a kernel counts as one.
    """
    return ShallowLayers(num_layers, head=head, normalization=normalization)


def _has_kernel(layer):
    if isinstance(layer, _NORMALIZATIONS):
        return False
    return any(
        len(variable.shape) >= 2 and keras.backend.is_float_dtype(variable.dtype)
        for variable in own_weights(layer)
    )


def _position(layers, layer):
    return next(i for i, other in enumerate(layers) if other is layer)
