"""Levels that are learned one by one."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from keras_compress.quantizers._range_quantizer import TYPICAL_RANGE
from keras_compress.quantizers._table_quantizer import TableQuantizer
from keras_compress.quantizers.cluster_centers import INITIALIZATIONS, cluster_centers
from keras_compress.quantizers.quantizer import on_host
from keras_compress.quantizers.straight_through import scale_gradient, straight_through
from keras_reweight.core.validation import check_boolean, check_choice, check_integer


@keras.saving.register_keras_serializable(package="keras_compress")
class CodebookQuantizer(TableQuantizer):
    """Weight clustering: each weight becomes the nearest entry of a trained codebook.

    Use it for files that are small, or that compress well, at 2 to 4 bits, where free levels lose
    less than evenly spaced ones. Not for integer arithmetic: the levels are arbitrary floats. The
    codebook starts from k-means of the weights and is trained with them. With the entries `c_j`,

        j(w) = argmin |w - c_j|,    q(w) = c_j(w)
        dq/dw = 1,    dL/dc_j = mean (or sum) of dL/dq over the weights with j(w) = j

    Weights that have no more different values than the codebook has entries keep them, so the
    clusters of a clustered model are preserved, and so are zeros with `preserve_sparsity=True`.
    Exclude the codebook from decoupled weight decay:
    `optimizer.exclude_from_weight_decay(var_names=["codebook"])`.

    Args:
        bits: Integer, bit width of the codes, 1 to 8. Defaults to `4`.
        axis: Integer or tuple of integers, the dimensions that keep a codebook of their own; `None`
            for one codebook per tensor. Defaults to `-1`. Inside `QuantizeAware`, `-1` means the
            output channels of the layer.
        num_clusters: Integer from 2 to `2**bits`, number of entries, or `None` for `2**bits`.
            Defaults to `None`.
        initialization: The first entries: `"kmeans++"` (weights drawn far from one another),
            `"linear"` (evenly spaced), `"density"` (quantiles) or `"random"` (uniform). Defaults
            to `"kmeans++"`.
        iterations: Integer >= 0, k-means iterations after that. Defaults to `25`.
        preserve_sparsity: Boolean, whether one entry is zero and stays zero. Defaults to `False`.
        gradient: `"mean"` or `"sum"`, how an entry collects the gradients of its weights. Defaults
            to `"mean"`.
        **kwargs: Arguments of `keras.layers.Layer`: `name`, `trainable`.

    Returns:
        Called with a float tensor: a tensor of the same shape and dtype, its values from the
        codebook.

    Raises:
        TypeError: If `bits`, `axis`, `num_clusters` or `iterations` is not made of integers or
            `preserve_sparsity` is no boolean.
        ValueError: If an argument is outside its range; when built, if `axis` does not fit the
            shape.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_compress as kc

    weights = np.array([0.0, 0.1, 0.9, 1.0, 5.0], "float32")
    quantizer = kc.quantizers.CodebookQuantizer(2, axis=None, num_clusters=3)
    quantizer.initialize_from(weights)
    rounded = keras.ops.convert_to_numpy(quantizer(weights))
    assert np.allclose(rounded, [0.05, 0.05, 0.95, 0.95, 5.0])
    ```

    Reference:
        Han et al., "Deep Compression", ICLR 2016, arXiv 1510.00149, section 3 (shared weights and
        their gradient); Yvinec et al., "Network Memory Footprint Compression Through Jointly
        Learnable Codebooks and Mappings", ICLR 2024, arXiv 2309.17361 (a codebook for each group
        of outputs); tensorflow_model_optimization, `cluster_weights` (initializations).

    Deviations:
        `cluster_weights` runs no k-means iterations (`iterations=0` here); its density start
        interpolates a histogram, here it takes exact quantiles. Random choices have a fixed seed.
        The mapping of JLCM, learned on layer outputs, belongs to post-training quantization.

    Cost:
        One float32 value for each entry; for each weight as many comparisons and look-ups as the
        code has bits per call, and a sort of each channel at the start.
    """

    smallest_bits = 1
    scale_follows_values = False

    def __init__(
        self,
        bits: int = 4,
        *,
        axis: int | tuple[int, ...] | None = -1,
        num_clusters: int | None = None,
        initialization: str = "kmeans++",
        iterations: int = 25,
        preserve_sparsity: bool = False,
        gradient: str = "mean",
        **kwargs,
    ):
        super().__init__(bits, axis=axis, **kwargs)
        if num_clusters is not None:
            check_integer("num_clusters", num_clusters, minimum=2, maximum=2**bits)
        check_choice("initialization", initialization, INITIALIZATIONS)
        check_integer("iterations", iterations, minimum=0)
        check_boolean("preserve_sparsity", preserve_sparsity)
        check_choice("gradient", gradient, ["mean", "sum"])
        self.num_clusters = num_clusters
        self.initialization = initialization
        self.iterations = iterations
        self.preserve_sparsity = preserve_sparsity
        self.gradient = gradient

    @property
    def own_tables(self) -> bool:  # type: ignore[override]
        return bool(self.granularity.scale_shape)

    @property
    def num_levels(self) -> int:
        return 2**self.bits if self.num_clusters is None else self.num_clusters

    def build(self, input_shape):
        super().build(input_shape)
        source = self._source
        tables = int(np.prod(self.granularity.scale_shape))
        entries = self.num_levels - int(self.preserve_sparsity)

        def initial(shape, dtype=None):
            if source is None:
                row = np.linspace(-TYPICAL_RANGE, TYPICAL_RANGE, entries)
                return ops.convert_to_tensor(np.tile(row, (*shape[:-1], 1)).reshape(shape), dtype)
            return ops.convert_to_tensor(self.statistic(source().value), dtype)

        self.codebook = self.add_weight(
            name="codebook",
            shape=(tables, entries) if self.own_tables else (entries,),
            initializer=initial,
            dtype="float32",
            autocast=False,
        )

    def level_table(self, dtype):
        return self._with_zero(ops.cast(ops.convert_to_tensor(self.codebook), dtype))

    def fake_quantize(self, x):
        table = self.level_table(x.dtype)
        codes = self.nearest_code(ops.stop_gradient(x), ops.cast(1.0, x.dtype))
        if self.gradient == "mean":
            table = scale_gradient(table, 1.0 / self._counts(codes, table))
        value = self.look_up(table, codes)
        return straight_through(value, x + value)

    def statistic(self, x):
        array = on_host(x)
        kept = self.granularity.kept
        others = [axis for axis in range(array.ndim) if axis not in kept]
        tables = int(np.prod(self.granularity.scale_shape))
        columns = array.transpose([*others, *kept]).reshape(-1, tables)
        found = cluster_centers(
            columns,
            self.num_levels,
            initialization=self.initialization,
            iterations=self.iterations,
            fixed_zero=self.preserve_sparsity,
        )
        if self.preserve_sparsity:
            # One zero is not part of the variable.
            zero = np.argmin(np.abs(found), axis=1)
            rest = np.arange(self.num_levels) != zero[:, None]
            found = found[rest].reshape(tables, -1)
        return (found if self.own_tables else found[0]).astype("float32")

    def set_statistic(self, value) -> None:
        self.codebook.assign(ops.cast(value, "float32"))

    def _with_zero(self, codebook):
        if self.preserve_sparsity:
            codebook = ops.concatenate([codebook, ops.zeros_like(codebook[..., :1])], axis=-1)
        return ops.sort(codebook, axis=-1)

    def _counts(self, codes, table):
        """How many weights each entry stands for, at least one."""
        index = ops.cast(codes, "int32") + self._first_entries(self.num_levels)
        index = ops.reshape(index, (-1, 1))
        size = int(np.prod(table.shape))
        # On torch `segment_sum` makes shapes from values, and `scatter` loops over them in Python.
        ones = ops.ones_like(index[:, 0], dtype=table.dtype)
        counts = ops.scatter_update(ops.zeros((size,), table.dtype), index, ones, reduction="add")
        return ops.reshape(ops.maximum(counts, 1.0), table.shape)

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "num_clusters": self.num_clusters,
            "initialization": self.initialization,
            "iterations": self.iterations,
            "preserve_sparsity": self.preserve_sparsity,
            "gradient": self.gradient,
        }
