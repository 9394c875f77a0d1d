"""What a conversion to Keras' own quantized layers has done."""

from __future__ import annotations

from dataclasses import dataclass

import keras


@dataclass(frozen=True)
class ConvertedLayer:
    """What happened to one quantized variable.

    Attributes:
        path: Path of the layer.
        variable: Name of the variable.
        policy: Name of the dtype policy of the converted layer, `None` if it was left float.
        inputs: What the layer computes its input in: `"float"`, `"static"` or `"dynamic"`.
        difference: Largest difference between the values of the converted layer and those of the
            codes, relative to the largest of these; 0 for layers left float.
        reason: Why the layer, or its input, was left float; `""` if nothing was.
    """

    path: str
    variable: str
    policy: str | None
    inputs: str
    difference: float
    reason: str


@dataclass(frozen=True, eq=False)
class KerasConversion:
    """A model with Keras' own quantized layers, and what became of each quantized variable.

    Look at `left_float` before you rely on the size or the codes of the model: Keras has no
    quantized form of most layers.

    Args:
        model: `keras.Model` with int8 and int4 layers of Keras.
        layers: Tuple of `ConvertedLayer`, one for each quantized variable.

    Returns:
        A record with these attributes; `print` it for a table.

    Raises:
        Nothing.

    Example:

    ```python
    import keras
    import keras_compress as kc

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4, name="dense")])
    found = kc.export.to_keras_layers(kc.quantize_aware(model, weights=4))
    (row,) = found.layers
    assert row.policy == "int4/-1_from_float32" and not row.reason
    ```

    Reference:
        None; result of `to_keras_layers`.
    """

    model: keras.Model
    layers: tuple[ConvertedLayer, ...]

    @property
    def left_float(self) -> dict[str, str]:
        """Paths of variables that stayed float, and why."""
        return {
            f"{row.path}/{row.variable}": row.reason for row in self.layers if row.policy is None
        }

    def __str__(self) -> str:
        rows = [("variable", "policy", "inputs", "difference", "reason")]
        rows += [
            (
                f"{row.path}/{row.variable}",
                row.policy or "float",
                row.inputs,
                f"{row.difference:.1e}",
                row.reason,
            )
            for row in self.layers
        ]
        widths = [max(len(row[column]) for row in rows) for column in range(4)]
        return "\n".join(
            "  ".join(
                [*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]
            ).rstrip()
            for row in rows
        )
