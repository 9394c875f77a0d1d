"""How well trained convolutions are, by their filters alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_reweight.core.selection import layers_by_path, leaf_layers, select_layers
from keras_reweight.core.state import sync_model
from keras_reweight.core.validation import check_built, check_number
from keras_reweight.signatures.live_weights import read_variable

_TRANSPOSED = (
    keras.layers.Conv1DTranspose,
    keras.layers.Conv2DTranspose,
    keras.layers.Conv3DTranspose,
)
_SEPARABLE = (keras.layers.SeparableConv1D, keras.layers.SeparableConv2D)
_KINDS = (
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
    keras.layers.DepthwiseConv1D,
    keras.layers.DepthwiseConv2D,
    *_TRANSPOSED,
    *_SEPARABLE,
)
_ROUNDING = np.finfo("float64").eps
# Of random 3x3 filters, by how many there are.
_TOP, _SLOPE, _MIDDLE, _OFFSET = 1.2618047, 0.88767525, 2.30436435, 0.31050834


@dataclass(frozen=True)
class LayerFilters:
    """One row of a `FilterQualityReport`: the filters of a convolution."""

    path: str
    kernel_size: tuple[int, ...]
    num_filters: int
    sparsity: float
    variance_entropy: float
    variance_entropy_clean: float
    normalized_entropy: float | None
    normalized_entropy_clean: float | None
    orthogonality: float
    l1: float
    l2: float


@dataclass(frozen=True)
class FilterQualityReport:
    """Quality of the filters of a model, convolution by convolution.

    Made by `filter_quality`. `print(report)` shows a table, `report.to_dict()` gives plain numbers
    for a log.

    Args:
        layers: Tuple of records, one for each convolution: `path`, `kernel_size`, `num_filters`,
            `sparsity`, `variance_entropy`, `normalized_entropy`, both once more with `_clean`,
            `orthogonality`, `l1`, `l2`.

    Returns:
        A record with the argument as attribute, and `mean(name)`.

    Raises:
        ValueError: From `mean`, if no convolution has the number.

    Example:

    ```python
    import keras
    import keras_reweight as kr

    conv = keras.layers.Conv2D(8, 3)
    model = keras.Sequential([keras.Input((8, 8, 3)), conv])
    report = kr.analysis.filter_quality(model)
    assert report.layers[0].num_filters == 24
    ```

    Reference:
        None; a record.
    """

    layers: tuple[LayerFilters, ...]

    def mean(self, name: str) -> float:
        """Mean over the convolutions that have the number `name`."""
        values = [getattr(row, name, None) for row in self.layers]
        known = [value for value in values if isinstance(value, (int, float))]
        if not known:
            raise ValueError(f"`name`={name!r}: no convolution of this report has that number.")
        return float(np.mean(known))

    def to_dict(self) -> dict[str, float]:
        """`<path>/<number>` of each convolution, without what it does not have."""
        names = ("sparsity", "variance_entropy", "normalized_entropy", "orthogonality")
        found = {f"{row.path}/{name}": getattr(row, name) for row in self.layers for name in names}
        return {name: value for name, value in found.items() if value is not None}

    def __str__(self) -> str:
        width = max(len("layer"), *(len(row.path) for row in self.layers))
        lines = [
            f"{'layer':<{width}}  {'kernel':<7} {'filters':>8}  sparse  entropy  normalized  "
            "orthogonal"
        ]
        for row in self.layers:
            size = "x".join(str(side) for side in row.kernel_size)
            normalized = "-" if row.normalized_entropy is None else f"{row.normalized_entropy:.3f}"
            lines.append(
                f"{row.path:<{width}}  {size:<7} {row.num_filters:>8}  {row.sparsity:>6.1%}  "
                f"{row.variance_entropy:>7.3f}  {normalized:>10}  {row.orthogonality:>10.3f}"
            )
        return "\n".join(lines)


def filter_quality(
    model: keras.Model, *, layers: Any = None, threshold: float = 0.01
) -> FilterQualityReport:
    """Measure the filters of convolutions, without any data.

    Use it to see which convolutions of a model are not worth their weights, and during training
    whether they become better. With the filters as rows of a matrix `X`:

    - sparsity: share of the filters whose weights are all smaller than `threshold` times the
      largest of the layer. They do next to nothing.
    - variance entropy: `-sum p log10 p` of the shares `p` of the principal components of `X`. Near
      0 the filters are multiples of each other; the normalized value, divided by what is usual for
      as many filters, is about 0.9 in good layers, and above 1 in layers that look like noise.
    - both "clean": without the sparse filters.
    - orthogonality: `1 - sum |R R^T - I| / (n (n - 1))` of the `n` normalized output channels.

    The usual entropy was fitted to 3x3 filters; other sizes have no normalized value. Kernels of
    one place (1x1) have no filters and are left out.

    Args:
        model: A built `keras.Model`.
        layers: Layer names, paths, `re.Pattern`, layers, predicates or a list of these; `None` for
            all convolutions. Defaults to `None`.
        threshold: Float in `[0, 1)`, what counts as nothing. Defaults to `0.01`.

    Returns:
        A `FilterQualityReport`.

    Raises:
        TypeError: If `model` is not a `keras.Model` or `threshold` no number.
        ValueError: If `model` is not built, has no convolution of more than one place, a layer is
            unknown, a weight is not finite, or `threshold` is outside its range.

    Example:

    ```python
    import keras
    import keras_reweight as kr

    layers = [keras.layers.Conv2D(16, 3, name="first"), keras.layers.Conv2D(32, 3, name="second")]
    model = keras.Sequential([keras.Input((8, 8, 3)), *layers])
    report = kr.analysis.filter_quality(model)
    fresh = report.mean("normalized_entropy")  # random filters
    ```

    Reference:
        Gavrikov and Keuper, "CNN Filter DB: An Empirical Investigation of Trained Convolutional
        Filters", CVPR 2022, arXiv 2203.15331; github.com/paulgavrikov/torchconvquality.

    Deviations:
        The official entropy is NaN where a component has no variance, and where one filter is left;
        here `0 log 0 = 0`, and one filter has no entropy. Official metrics are for 3x3.

    Cost:
        Eigenvalues of a matrix of `places x places` for each convolution, on the host.
    """
    check_built(model, "filter_quality")
    check_number("threshold", threshold, minimum=0.0, exclusive_maximum=1.0)
    sync_model(model)
    rows = [measure_filters(*named, threshold) for named in find_filters(model, layers)]
    return FilterQualityReport(tuple(rows))


def find_filters(model: keras.Model, layers: Any) -> Iterator[tuple[str, np.ndarray]]:
    """Path and kernel `(*places, inputs, outputs)` of each chosen convolution, in float64."""

    def accept(layer):
        if not isinstance(layer, _KINDS):
            return "no convolution"
        kernel = _kernel(layer)
        return None if np.prod(kernel.shape[:-2]) > 1 else "its filters have one place"

    paths = {id(layer): path for path, layer in layers_by_path(model).items()}
    for layer in select_layers(model, layers, accept=accept, candidates=leaf_layers(model)).touched:
        variable = _kernel(layer)
        value = read_variable(variable).astype("float64")
        if not np.isfinite(value).all():
            raise ValueError(f"Weight {variable.path!r} is not finite: training has diverged.")
        transposed = isinstance(layer, _TRANSPOSED)
        yield paths[id(layer)], np.swapaxes(value, -1, -2) if transposed else value


def measure_filters(path: str, kernel: np.ndarray, threshold: float) -> LayerFilters:
    """The numbers of one convolution."""
    places = kernel.shape[:-2]
    filters = kernel.reshape(-1, kernel.shape[-2] * kernel.shape[-1]).T
    largest = np.abs(filters).max()
    limit = threshold * largest if largest > 0.0 else 1.0
    sparse = (np.abs(filters) < limit).all(axis=1)
    clean = filters[~sparse]
    entropy, entropy_clean = _entropy(filters), _entropy(clean)
    return LayerFilters(
        path,
        places,
        len(filters),
        float(sparse.mean()),
        entropy,
        entropy_clean,
        _normalized(entropy, len(filters), places),
        _normalized(entropy_clean, len(clean), places),
        _orthogonality(kernel.reshape(-1, kernel.shape[-1]).T),
        float(np.abs(filters).sum()),
        float(np.linalg.norm(filters)),
    )


def _kernel(layer):
    return layer.depthwise_kernel if isinstance(layer, _SEPARABLE) else layer.kernel


def _entropy(filters):
    if len(filters) < 2:
        return 0.0
    centered = filters - filters.mean(axis=0)
    variances = np.linalg.svd(centered, compute_uv=False) ** 2
    total = variances.sum()
    # Equal filters differ by rounding only.
    if total <= _ROUNDING * np.square(filters).sum():
        return 0.0
    shares = variances[variances > _ROUNDING * total] / total
    return float(max(-(shares * np.log10(shares)).sum(), 0.0))


def _normalized(entropy, num_filters, places):
    if np.prod(places) != 9:
        return None
    if num_filters < 2:
        return 0.0
    bend = np.exp(-_SLOPE * (np.log2(num_filters) - _MIDDLE))
    return float(entropy / (_TOP / (1.0 + bend) - _OFFSET))


def _orthogonality(rows):
    count = len(rows)
    if count < 2:
        return 1.0
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    unit = rows / np.where(norms > 0.0, norms, 1.0)
    away = np.abs(unit @ unit.T - np.eye(count)).sum()
    return float(1.0 - away / (count * (count - 1)))
