"""How well trained layers are, by their spectra alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from keras_compress.pruning.criteria.criterion import host_value
from keras_compress.pruning.prunable_weights import find_prunable_weights
from keras_reweight.core.hill_alpha import hill_alpha
from keras_reweight.core.kernel_axes import kernel_matrices
from keras_reweight.core.kernel_spectra import eigenvalues, farms_alpha
from keras_reweight.core.state import sync_model
from keras_reweight.core.validation import check_choice, check_integer

_METHODS = ("farms", "hill")


def layer_alphas(
    model: keras.Model,
    *,
    method: str = "farms",
    rows: int = 100,
    num_windows: int = 9,
    xmin: str = "median",
    layers: Any = None,
) -> dict[str, float]:
    """The power-law exponent of the spectrum of each kernel, comparable between layers.

    Heavy-tailed layers (small alpha) are well trained: they bear less pruning and need a smaller
    learning rate. The plain Hill estimate grows with the aspect ratio of the matrix, so that a wide
    layer looks untrained because it is wide. FARMS takes the eigenvalues of square windows of the
    same size from every kernel instead, all windows of a dense kernel together. A convolution is
    one matrix a place of its filter; for `"farms"` it is cut into squares along its longer side,
    fitted square by square over all places, and the exponents are averaged.

    Args:
        model: A built `keras.Model`.
        method: `"farms"` or `"hill"` (all eigenvalues of the whole matrices). Defaults to
            `"farms"`.
        rows: Integer >= 2, side of the windows of dense kernels; smaller kernels take their shorter
            side. Defaults to `100`.
        num_windows: Integer >= 2, most windows along an axis. Defaults to `9`.
        xmin: Where the tail begins, as for `hill_alpha`. Defaults to `"median"`.
        layers: Layer names, paths, `re.Pattern`, layers, predicates or a list of these; `None`
            takes all kernels and embeddings.

    Returns:
        Dict from the path of a variable to its alpha, a float; NaN for a kernel without a spectrum
        (all zero, or a single column).

    Raises:
        TypeError: If `model` is not a `keras.Model` or an argument is of the wrong kind.
        ValueError: If `model` is not built, a layer is unknown, a weight is NaN or an argument is
            outside its range.

    Example:

    ```python
    import keras
    import keras_compress as kc

    model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(64), keras.layers.Dense(256)])
    square, wide = kc.pruning.layer_alphas(model, rows=32).values()
    assert abs(square - wide) < 0.2
    ```

    Reference:
        Hu et al., "Eigenspectrum Analysis of Neural Networks without Aspect Ratio Bias", ICML 2025,
        arXiv 2506.06280; official code github.com/HUST-AI-HYZ/FARMS.

    Deviations:
        Windows are square, as in all published runs, and never larger than the kernel, which the
        image part of the official code does not ensure.

    Cost:
        Singular values of up to `num_windows**2` windows a dense kernel, on the host.
    """
    check_alpha_options(method, rows, num_windows)
    weights = find_prunable_weights(model, layers, trainable_only=False, caller="layer_alphas")
    sync_model(model)
    found = variable_alphas(
        weights.variables, weights.layers, method=method, rows=rows, num_windows=num_windows,
        xmin=xmin,
    )  # fmt: skip
    return dict(zip(weights.paths, found, strict=True))


def check_alpha_options(method: Any, rows: Any, num_windows: Any) -> None:
    """Raise unless these are arguments of `layer_alphas`."""
    check_choice("method", method, _METHODS)
    check_integer("rows", rows, minimum=2)
    check_integer("num_windows", num_windows, minimum=2)


def variable_alphas(
    variables: Sequence[keras.Variable],
    layers: Sequence[Any],
    *,
    method: str = "farms",
    rows: int = 100,
    num_windows: int = 9,
    xmin: str = "median",
) -> list[float]:
    """The alpha of each variable, given the innermost layer that holds it."""
    alphas = []
    for variable, layer in zip(variables, layers, strict=True):
        matrices = kernel_matrices(host_value(variable), layer).astype("float64")
        if method == "hill":
            alpha = hill_alpha(eigenvalues(matrices), xmin=xmin)
        else:
            alpha = farms_alpha(matrices, rows=rows, num_windows=num_windows, xmin=xmin)
        alphas.append(alpha)
    return alphas
