"""What a model takes on disk, as it is and with its zeros left out."""

from __future__ import annotations

from dataclasses import dataclass

import keras

from keras_compress.export.sparse_format import choose_encoding, encode
from keras_reweight.core.compressed_size import GzipSize
from keras_reweight.core.state import sync_model
from keras_reweight.core.validation import check_built
from keras_reweight.core.variable_bits import read_bits


@dataclass(frozen=True)
class WeightSize:
    """One row of `FileSizes`."""

    path: str
    shape: tuple[int, ...]
    encoding: str
    num_bytes: int
    sparse_bytes: int


@dataclass(frozen=True)
class FileSizes:
    """Bytes of the weights of a model: raw, compressed, and as `save_sparse` stores them.

    Made by `file_sizes`; `print(sizes)` shows a table.

    Args:
        weights: Tuple of `WeightSize`, one for each weight, with its `path`, `shape`, `encoding`
            (`"dense"`, `"bitmask"`, `"gaps"` or `"zeros"`), `num_bytes` and `sparse_bytes`.
        num_bytes: Integer, all weights as they are.
        gzip_bytes: Integer, these compressed with gzip.
        sparse_bytes: Integer, all weights as `save_sparse` stores them.
        sparse_gzip_bytes: Integer, these compressed with gzip.

    Returns:
        A record with the arguments as attributes.

    Raises:
        None.

    Example:

    ```python
    import keras
    import keras_compress as kc

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(16, use_bias=False)])
    assert kc.export.file_sizes(model).weights[0].encoding == "dense"
    ```

    Reference:
        None; a record.
    """

    weights: tuple[WeightSize, ...]
    num_bytes: int
    gzip_bytes: int
    sparse_bytes: int
    sparse_gzip_bytes: int

    def __str__(self) -> str:
        width = max([len(row.path) for row in self.weights], default=0)
        lines = [
            f"{row.path:<{width}}  {str(row.shape):<18} {row.encoding:<8} "
            f"{row.num_bytes:>10} -> {row.sparse_bytes:<10}"
            for row in self.weights
        ]
        for name in ("num_bytes", "gzip_bytes", "sparse_bytes", "sparse_gzip_bytes"):
            size = getattr(self, name)
            label = name.removesuffix("_bytes").replace("num", "raw").replace("_", " + ")
            share = size / self.num_bytes if self.num_bytes else 1.0
            lines.append(f"{label:<13} {size:>12} bytes {share:8.2%}")
        return "\n".join(lines)


def file_sizes(model: keras.Model) -> FileSizes:
    """Measure what the weights of a model take on disk, without writing a file.

    Use it to see what pruning is worth before shipping, and which weights it is worth it for. A
    file has the configuration of the model on top, a few kilobytes. Compressing a sparse file
    helps where zeros come in blocks or patterns, and hardly elsewhere.

    Args:
        model: A built `keras.Model`.

    Returns:
        A `FileSizes`.

    Raises:
        TypeError: If `model` is not a `keras.Model`.
        ValueError: If `model` is not built.

    Example:

    ```python
    import keras
    import keras_compress as kc

    model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(64)])
    kc.prune_magnitude(model, 0.9)
    sizes = kc.export.file_sizes(model)
    assert sizes.sparse_bytes < sizes.gzip_bytes < sizes.num_bytes
    ```

    Reference:
        None; arithmetic and gzip.

    Cost:
        Two gzip passes over the weights.
    """
    check_built(model, "file_sizes")
    sync_model(model)
    rows = []
    with GzipSize() as raw, GzipSize() as sparse:
        for variable in model.weights:
            bits = read_bits(variable)
            flat = bits.reshape(-1)
            encoding = choose_encoding(flat)
            raw.write(flat.tobytes())
            for array in encode(flat, encoding).values():
                sparse.write(array.tobytes())
            rows.append(
                WeightSize(
                    variable.path,
                    tuple(bits.shape),
                    encoding.codec,
                    flat.nbytes,
                    encoding.num_bytes,
                )
            )
    return FileSizes(
        tuple(rows),
        sum(row.num_bytes for row in rows),
        raw.num_bytes,
        sum(row.sparse_bytes for row in rows),
        sparse.num_bytes,
    )
