"""How heavy the tails of the spectra of a model's kernels are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_reweight.core.hill_alpha import HillFit, hill_fit
from keras_reweight.core.kernel_axes import kernel_matrices
from keras_reweight.core.kernel_spectra import eigenvalues, farms_alpha
from keras_reweight.core.selection import layers_by_path, leaf_layers, select_layers
from keras_reweight.core.state import sync_model
from keras_reweight.core.validation import check_built, check_choice, check_integer
from keras_reweight.signatures.live_weights import read_variable
from keras_reweight.signatures.weight_selection import own_weights

_NAMES = ("depthwise_kernel", "embeddings", "kernel", "pointwise_kernel", "recurrent_kernel")
_STARTS = ("best", "median", "peak")
_NUMBERS = (
    "alpha", "farms_alpha", "distance", "alpha_weighted", "log_alpha_norm", "log_norm",
    "log_spectral_norm", "stable_rank", "mp_softrank",
)  # fmt: skip


@dataclass(frozen=True)
class KernelSpectrum:
    """One row of a `SpectralReport`: the spectrum of a kernel."""

    path: str
    shape: tuple[int, ...]
    num_eigenvalues: int
    alpha: float | None
    farms_alpha: float | None
    distance: float | None
    xmin: float | None
    alpha_weighted: float | None
    log_alpha_norm: float | None
    log_norm: float | None
    log_spectral_norm: float | None
    stable_rank: float
    mp_softrank: float


@dataclass(frozen=True)
class SpectralReport:
    """Shape of the spectra of a model, kernel by kernel.

    Made by `spectral_report`. `print(report)` shows a table, `report.summary()` gives the means
    over the kernels for a log.

    Args:
        kernels: Tuple of records, one for each kernel: `path`, `shape` `(places, inputs, outputs)`,
            `num_eigenvalues`, `alpha`, `farms_alpha`, `distance`, `xmin`, `alpha_weighted`,
            `log_alpha_norm`, `log_norm`, `log_spectral_norm`, `stable_rank`, `mp_softrank`.

    Returns:
        A record with the argument as attribute, and `summary()`.

    Raises:
        None.

    Example:

    ```python
    import keras
    import keras_reweight as kr

    model = keras.Sequential([keras.Input((32,)), keras.layers.Dense(64)])
    report = kr.analysis.spectral_report(model)
    assert report.kernels[0].num_eigenvalues == 32
    ```

    Reference:
        None; a record.
    """

    kernels: tuple[KernelSpectrum, ...]

    def summary(self) -> dict[str, float]:
        """Mean of each number over the kernels that have it."""
        found = {}
        for name in _NUMBERS:
            values = [getattr(row, name) for row in self.kernels]
            known = [value for value in values if value is not None]
            if known:
                found[name] = float(np.mean(known))
        return found

    def __str__(self) -> str:
        width = max(len("kernel"), *(len(row.path) for row in self.kernels))
        lines = [
            f"{'kernel':<{width}}  {'shape':<14} {'count':>6}  alpha  farms  distance  weighted  "
            "log norm  stable rank  mp softrank"
        ]
        for row in self.kernels:
            shape = "x".join(str(size) for size in row.shape)
            lines.append(
                f"{row.path:<{width}}  {shape:<14} {row.num_eigenvalues:>6}  "
                f"{_text(row.alpha, 5)}  {_text(row.farms_alpha, 5)}  {_text(row.distance, 8)}  "
                f"{_text(row.alpha_weighted, 8)}  {_text(row.log_norm, 8)}  "
                f"{_text(row.stable_rank, 11)}  {_text(row.mp_softrank, 11)}"
            )
        return "\n".join(lines)


def spectral_report(
    model: keras.Model,
    *,
    layers: Any = None,
    xmin: str = "best",
    min_eigenvalues: int = 10,
) -> SpectralReport:
    """Measure the spectra of kernels, without any data.

    Use it to ask, without a test set, which layers training has shaped, and which of several models
    of one architecture generalizes best. `l` are the eigenvalues of `W^T W`; those of the matrices
    at all places of a convolution are taken together.

    - `alpha`: exponent of the power law in the tail of `l`, with its `distance`
      (Kolmogorov-Smirnov) and begin `xmin`. Fresh layers have large exponents; well trained ones 2
      to 6. Below 2 a layer may be overtrained.
    - `farms_alpha`: the same from square windows, which makes layers of different shape comparable.
    - `alpha_weighted`: `alpha log10 max l`; `log_alpha_norm`: `log10 sum l^alpha`.
    - `log_norm`: `log10 sum l`; `log_spectral_norm`: `log10 max l`; `stable_rank`: `sum l / max l`.
    - `mp_softrank`: largest eigenvalue that a random matrix of the same variance has (the edge of
      Marchenko and Pastur), divided by `max l`. Near 1 nothing sticks out of the noise.

    Exponents of a few eigenvalues say nothing, so kernels with fewer than `min_eigenvalues` have
    `None`. Kernels of zeros are left with what is defined for them.

    Args:
        model: A built `keras.Model`.
        layers: Layer names, paths, `re.Pattern`, layers, predicates or a list of these; `None` for
            all layers with kernels or embeddings. Defaults to `None`.
        xmin: String, where the tail begins: `"best"`, `"median"` or `"peak"` as for `hill_alpha`.
            Defaults to `"best"`.
        min_eigenvalues: Integer >= 2, fewer are not fitted. Defaults to `10`.

    Returns:
        A `SpectralReport`.

    Raises:
        TypeError: If `model` is not a `keras.Model` or an argument is of the wrong kind.
        ValueError: If `model` is not built or has no kernels, a layer is unknown, a weight is not
            finite or an argument is outside its range.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(64)])
    fresh = kr.analysis.spectral_report(model).kernels[0]
    one_direction = np.outer(np.linspace(1, 2, 64), np.linspace(1, 2, 64)) / 50
    model.layers[0].kernel.assign_add(one_direction)
    assert kr.analysis.spectral_report(model).kernels[0].mp_softrank < fresh.mp_softrank
    ```

    Reference:
        Martin and Mahoney, "Implicit Self-Regularization in Deep Neural Networks", JMLR 22, 2021,
        arXiv 1810.01075; Martin, Peng and Mahoney, "Predicting trends in the quality of
        state-of-the-art neural networks without access to training or testing data", Nature
        Communications 12, 2021, arXiv 2002.06716; peer github.com/CalculatedContent/WeightWatcher.
        FARMS: Hu et al., ICML 2025, arXiv 2506.06280.

    Deviations:
        WeightWatcher fits the edge of the noise to the bulk of the spectrum, or takes it from
        shuffled weights; here it follows from the variance of all weights. A large signal raises
        that variance a little, and the edge with it.

    Cost:
        Singular values of every kernel, on the host.
    """
    check_built(model, "spectral_report")
    check_choice("xmin", xmin, _STARTS)
    check_integer("min_eigenvalues", min_eigenvalues, minimum=2)
    sync_model(model)
    rows = [
        measure_spectrum(path, matrices, xmin, min_eigenvalues)
        for path, matrices in _kernels(model, layers)
    ]
    return SpectralReport(tuple(rows))


def measure_spectrum(
    path: str, matrices: np.ndarray, xmin: str, min_eigenvalues: int
) -> KernelSpectrum:
    """The numbers of one kernel, given as matrices `(places, inputs, outputs)`."""
    spectrum = eigenvalues(matrices)
    largest, total = float(spectrum.max(initial=0.0)), float(spectrum.sum())
    fit, farms = HillFit(np.nan, np.nan, np.nan), np.nan
    if len(spectrum) >= min_eigenvalues:
        fit = hill_fit(spectrum, xmin=xmin)
        farms = farms_alpha(matrices)
    _, inputs, outputs = matrices.shape
    edge = np.mean(matrices**2) * (np.sqrt(inputs) + np.sqrt(outputs)) ** 2
    return KernelSpectrum(
        path,
        tuple(matrices.shape),
        len(spectrum),
        _known(fit.alpha),
        _known(farms),
        _known(fit.distance),
        _known(fit.xmin),
        _known(fit.alpha * _log10(largest)),
        _known(_log_sum_of_powers(spectrum, fit.alpha)),
        _known(_log10(total)),
        _known(_log10(largest)),
        total / largest if largest > 0.0 else 0.0,
        float(edge) / largest if largest > 0.0 else 1.0,
    )


def _kernels(model, layers) -> Iterator[tuple[str, np.ndarray]]:
    def variables_of(layer):
        return [
            variable
            for variable in own_weights(layer)
            if variable.name in _NAMES
            and len(variable.shape) >= 2
            and keras.backend.is_float_dtype(variable.dtype)
        ]

    def accept(layer):
        return None if variables_of(layer) else "no kernels"

    paths = {id(layer): path for path, layer in layers_by_path(model).items()}
    for layer in select_layers(model, layers, accept=accept, candidates=_candidates(model)).touched:
        for variable in variables_of(layer):
            value = read_variable(variable).astype("float64")
            if not np.isfinite(value).all():
                raise ValueError(f"Weight {variable.path!r} is not finite: training has diverged.")
            yield f"{paths[id(layer)]}/{variable.name}", kernel_matrices(value, layer)


def _candidates(model):
    """Layers without layers inside, and those that own weights in spite of them."""
    leaves = {id(layer) for layer in leaf_layers(model)}
    return [
        layer
        for layer in layers_by_path(model).values()
        if id(layer) in leaves or own_weights(layer)
    ]


def _log10(value):
    return float(np.log10(value)) if value > 0.0 else np.nan


def _log_sum_of_powers(spectrum, alpha):
    """`log10 sum l^alpha`, of logarithms so that nothing overflows."""
    if not np.isfinite(alpha):
        return np.nan
    logs = alpha * np.log10(spectrum[spectrum > 0.0])
    top = logs.max()
    return float(top + np.log10(np.sum(10.0 ** (logs - top))))


def _known(value):
    return float(value) if np.isfinite(value) else None


def _text(value, width):
    return f"{'-' if value is None else f'{value:.3f}':>{width}}"
