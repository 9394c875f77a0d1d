"""Parameters and multiply-accumulates of a model, layer by layer."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LayerCompute:
    """One row of a `ComputeReport`."""

    path: str
    kind: str
    output_shape: tuple[int, ...]
    num_parameters: int
    macs: int
    calls: int


@dataclass(frozen=True)
class ComputeReport:
    """What a model costs: parameters and multiply-accumulates of every layer.

    Made by `count_macs`; `print(report)` shows a table.

    Args:
        layers: Tuple of `LayerCompute`, one for each layer with weights or MACs, in the order of
            the model.
        uncounted: Tuple of the paths of layers that hold matrices and are of a kind without a
            rule: their MACs are missing from the sums.

    Returns:
        A record with the arguments as attributes, and the properties `macs` and `num_parameters`.

    Raises:
        None.

    Example:

    ```python
    import keras
    import keras_compress as kc

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4), keras.layers.Dense(2)])
    report = kc.analysis.count_macs(model)
    assert (report.macs, report.num_parameters) == (8 * 4 + 4 * 2, 36 + 10)
    ```

    Reference:
        None; a record.
    """

    layers: tuple[LayerCompute, ...]
    uncounted: tuple[str, ...] = ()

    @property
    def macs(self) -> int:
        return sum(row.macs for row in self.layers)

    @property
    def num_parameters(self) -> int:
        return sum(row.num_parameters for row in self.layers)

    def __str__(self) -> str:
        width = max([len(row.path) for row in self.layers], default=0)
        lines = [
            f"{row.path:<{width}}  {row.kind:<20} {str(row.output_shape):<20} "
            f"{row.num_parameters:>12,} parameters {row.macs:>15,} MACs"
            for row in self.layers
        ]
        lines.append(f"{self.num_parameters:,} parameters, {self.macs:,} MACs")
        if self.uncounted:
            lines.append(f"without the MACs of {', '.join(self.uncounted)}")
        return "\n".join(lines)
