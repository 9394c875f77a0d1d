"""What compression is worth: zeros, bytes, compute and time, side by side."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_compress.analysis.count_macs import count_macs
from keras_compress.analysis.plot_sparsity import plot_sparsity
from keras_compress.export.file_sizes import file_sizes
from keras_compress.pruning.prunable_weights import prunable_ids
from keras_reweight.core.batches import iterate_batches
from keras_reweight.core.forward import as_model_inputs
from keras_reweight.core.selection import layers_by_path
from keras_reweight.core.state import sync_model
from keras_reweight.core.validation import check_built, check_integer

_MEASURES = (
    "num_parameters",
    "num_nonzero",
    "num_bytes",
    "gzip_bytes",
    "sparse_bytes",
    "macs",
    "effective_macs",
    "latency",
)
_ROUNDS, _WARM_UP = 7, 2


@dataclass(frozen=True)
class LayerCompression:
    """One row of a `CompressionReport`: a layer with weights or compute."""

    path: str
    kind: str
    num_parameters: int
    num_nonzero: int
    sparsity: float
    macs: int
    effective_macs: int


@dataclass(frozen=True)
class CompressionReport:
    """Size and cost of a model, layer by layer, and against a baseline.

    Made by `compression_report`. `print(report)` shows a table, `report.to_dict()` gives plain
    numbers for a log, `report.plot()` draws the sparsity of the layers.

    Args:
        layers: Tuple of `LayerCompression`: `path`, `kind`, `num_parameters`, `num_nonzero`,
            `sparsity` (share of zeros in kernels and embeddings), `macs`, `effective_macs`.
        num_parameters: Integer, all weights.
        num_nonzero: Integer, those that are not zero.
        num_bytes: Integer, all weights as they are.
        gzip_bytes: Integer, these compressed with gzip.
        sparse_bytes: Integer, the weights as `keras_compress.export.save_sparse` stores them.
        macs: Integer, multiply-accumulates for one sample.
        effective_macs: Integer, those with weights that are not zero: what hardware that skips
            zeros would do.
        latency: Float, seconds of one prediction of the first batch, or `None`.
        baseline: The `CompressionReport` of the model to compare with, or `None`.

    Returns:
        A record with the arguments as attributes, and the property `sparsity`.

    Raises:
        None.

    Example:

    ```python
    import keras
    import keras_compress as kc

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(16, use_bias=False)])
    kc.prune_magnitude(model, 0.75)
    report = kc.analysis.compression_report(model)
    assert (report.macs, report.effective_macs) == (128, 32)
    ```

    Reference:
        None; a record.
    """

    layers: tuple[LayerCompression, ...]
    num_parameters: int
    num_nonzero: int
    num_bytes: int
    gzip_bytes: int
    sparse_bytes: int
    macs: int
    effective_macs: int
    latency: float | None = None
    baseline: CompressionReport | None = None

    @property
    def sparsity(self) -> float:
        """Share of zeros among all weights."""
        return 1.0 - self.num_nonzero / self.num_parameters if self.num_parameters else 0.0

    def to_dict(self) -> dict[str, Any]:
        """The totals, and with a baseline `<name>_ratio`, baseline divided by this model."""
        found = {name: getattr(self, name) for name in ("sparsity", *_MEASURES)}
        if self.baseline is not None:
            for name in _MEASURES:
                ours, theirs = found[name], getattr(self.baseline, name)
                if ours and theirs:
                    found[f"{name}_ratio"] = theirs / ours
        return found

    def plot(self, ax: Any = None) -> Any:
        """The sparsity of the layers as bars; see `plot_sparsity`."""
        return plot_sparsity(self, ax=ax)

    def __str__(self) -> str:
        width = max([len(row.path) for row in self.layers], default=0)
        lines = [
            f"{row.path:<{width}}  {row.kind:<20} {row.num_nonzero:>12,} of "
            f"{row.num_parameters:<12,} {row.sparsity:8.2%} zeros {row.effective_macs:>15,} of "
            f"{row.macs:,} MACs"
            for row in self.layers
        ]
        values = self.to_dict()
        for name in _MEASURES:
            if values[name] is None:
                continue
            number = f"{values[name]:,}" if name != "latency" else f"{1e3 * values[name]:.3g} ms"
            ratio = values.get(f"{name}_ratio")
            versus = f"  {ratio:.2f} times less than the baseline" if ratio else ""
            lines.append(f"{name.replace('_', ' '):<15} {number}{versus}")
        return "\n".join(lines)


def compression_report(
    model: keras.Model,
    baseline: keras.Model | None = None,
    *,
    data: Any = None,
    batch_size: int = 32,
) -> CompressionReport:
    """Measure zeros, bytes, multiply-accumulates and latency of a model, and of a baseline.

    Use it at the end of compression to see what was won, and where. Zeros that stay in dense
    kernels make files smaller (`gzip_bytes`, `sparse_bytes`) and nothing faster: `latency` follows
    `macs`, not `effective_macs`, unless the runtime skips zeros.

    Args:
        model: A built `keras.Model`.
        baseline: The `keras.Model` before compression, or `None`. Defaults to `None`.
        data: Inputs, of which the first batch is predicted several times for `latency` (the median
            counts, compilation does not); anything `fit` takes, or `None` to leave it out. Defaults
            to `None`.
        batch_size: Integer >= 1, where `data` are arrays. Defaults to `32`.

    Returns:
        A `CompressionReport`.

    Raises:
        TypeError: If `model` or `baseline` is no `keras.Model`.
        ValueError: If one of them is not built, or `batch_size` is less than 1.

    Example:

    ```python
    import keras
    import keras_compress as kc

    dense = keras.Sequential([keras.Input((64,)), keras.layers.Dense(64)])
    pruned = keras.models.clone_model(dense)
    kc.prune_magnitude(pruned, 0.9)
    report = kc.analysis.compression_report(pruned, dense)
    assert report.to_dict()["effective_macs_ratio"] > 9.0
    ```

    Reference:
        None; counting and timing.

    Cost:
        Two gzip passes over the weights, one symbolic forward pass, and with `data` nine
        predictions of one batch.
    """
    check_built(model, "compression_report")
    if baseline is not None:
        check_built(baseline, "compression_report", "baseline")
    check_integer("batch_size", batch_size, minimum=1)
    batch = None
    if data is not None:
        batch = next(iter(iterate_batches(data, batch_size)))[0]
    against = None if baseline is None else _report(baseline, batch, None)
    return _report(model, batch, against)


def _report(model, batch, baseline):
    sync_model(model)
    prunable = prunable_ids(model)
    places = layers_by_path(model)
    nonzero = {id(v): int(np.count_nonzero(_host(v))) for v in model.weights}
    sizes = {id(v): int(np.prod(v.shape)) for v in model.weights}
    rows, seen = [], set()
    for row in count_macs(model).layers:
        weights = places[row.path].weights
        own = [v for v in weights if id(v) not in seen]
        seen.update(id(v) for v in own)
        kernels = [v for v in weights if id(v) in prunable]
        size = sum(sizes[id(v)] for v in kernels)
        left = sum(nonzero[id(v)] for v in kernels) / size if size else 1.0
        rows.append(
            LayerCompression(
                row.path,
                row.kind,
                row.num_parameters,
                sum(nonzero[id(v)] for v in own),
                1.0 - left,
                row.macs,
                round(row.macs * left),
            )
        )
    files = file_sizes(model)
    return CompressionReport(
        tuple(rows),
        sum(sizes.values()),
        sum(nonzero.values()),
        files.num_bytes,
        files.gzip_bytes,
        files.sparse_bytes,
        sum(row.macs for row in rows),
        sum(row.effective_macs for row in rows),
        None if batch is None else _latency(model, batch),
        baseline,
    )


def _latency(model, batch):
    batch = as_model_inputs(model, batch)
    seconds = []
    for _ in range(_WARM_UP + _ROUNDS):
        begin = time.perf_counter()
        model.predict_on_batch(batch)
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds[_WARM_UP:])


def _host(variable):
    return ops.convert_to_numpy(ops.convert_to_tensor(variable))
