"""How sparse a model is and what that is worth on disk."""

from __future__ import annotations

from dataclasses import dataclass

import keras
import numpy as np
from keras import ops

from keras_compress.pruning.prunable_weights import prunable_ids
from keras_reweight.core.compressed_size import GzipSize
from keras_reweight.core.state import sync_model
from keras_reweight.core.validation import check_built


@dataclass(frozen=True)
class VariableSparsity:
    """One row of a `SparsityReport`."""

    path: str
    shape: tuple[int, ...]
    zeros: int
    size: int
    prunable: bool

    @property
    def sparsity(self) -> float:
        return self.zeros / self.size if self.size else 0.0


@dataclass(frozen=True)
class SparsityReport:
    """Zeros of every weight of a model, and its size before and after compression.

    Made by `sparsity_report`; `print(report)` shows a table.

    Args:
        variables: Tuple of `VariableSparsity`, one for each weight.
        num_bytes: Integer, size of all weights as they are.
        gzip_bytes: Integer, their size compressed with gzip.

    Returns:
        A record with the arguments as attributes, and the properties `sparsity` (of kernels and
        embeddings), `zeros` and `num_weights` (of all weights).

    Raises:
        None.

    Example:

    ```python
    import keras
    import keras_compress as kc

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(16, use_bias=False)])
    assert kc.sparsity_report(model).num_bytes == 8 * 16 * 4
    ```

    Reference:
        None; a record.
    """

    variables: tuple[VariableSparsity, ...]
    num_bytes: int
    gzip_bytes: int

    @property
    def sparsity(self) -> float:
        rows = [row for row in self.variables if row.prunable]
        size = sum(row.size for row in rows)
        return sum(row.zeros for row in rows) / size if size else 0.0

    @property
    def zeros(self) -> int:
        return sum(row.zeros for row in self.variables)

    @property
    def num_weights(self) -> int:
        return sum(row.size for row in self.variables)

    def __str__(self) -> str:
        width = max([len(row.path) for row in self.variables], default=0)
        lines = [
            f"{row.path:<{width}}  {str(row.shape):<18} {row.zeros:>10} / {row.size:<10} "
            f"{row.sparsity:8.2%}"
            for row in self.variables
        ]
        lines.append(
            f"kernels and embeddings {self.sparsity:.2%} zeros, all weights "
            f"{self.zeros} / {self.num_weights} zeros, {self.num_bytes} bytes, "
            f"gzip {self.gzip_bytes} bytes"
        )
        return "\n".join(lines)


def sparsity_report(model: keras.Model) -> SparsityReport:
    """Count the zeros of a model and measure its weights compressed and uncompressed.

    Zeros do not make a file smaller by themselves: a weight of zero takes as many bytes as any
    other until the file is compressed, which `gzip_bytes` measures. Nor do they make dense layers
    faster; only structured pruning, which removes whole channels, does that everywhere.

    Args:
        model: A built `keras.Model`.

    Returns:
        A `SparsityReport`.

    Raises:
        TypeError: If `model` is not a `keras.Model`.
        ValueError: If `model` is not built.

    Example:

    ```python
    import keras
    import keras_compress as kc

    model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(64)])
    kc.prune_magnitude(model, 0.9)
    report = kc.sparsity_report(model)
    assert report.gzip_bytes < report.num_bytes / 3
    ```

    Reference:
        None; gzip as in the size reports of github.com/tensorflow/model-optimization.

    Cost:
        One gzip pass over the weights.
    """
    check_built(model, "sparsity_report")
    sync_model(model)
    prunable = prunable_ids(model)
    rows = []
    num_bytes = 0
    with GzipSize() as archive:
        for variable in model.weights:
            value = np.ascontiguousarray(ops.convert_to_numpy(ops.convert_to_tensor(variable)))
            zeros = int(value.size - np.count_nonzero(value))
            rows.append(
                VariableSparsity(
                    variable.path, tuple(value.shape), zeros, value.size, id(variable) in prunable
                )
            )
            payload = value.tobytes()
            num_bytes += len(payload)
            archive.write(payload)
    return SparsityReport(tuple(rows), num_bytes, archive.num_bytes)
