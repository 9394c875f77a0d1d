"""What a pruning method touched."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class PruningReport:
    """Which weights were pruned, which layers were left alone, and why.

    `prune_weights` and `prune_magnitude` return it; the pruning callbacks have it as `report` from
    the moment `fit` starts. `print(report)` shows a table.

    Args:
        touched: Dict from the path of a variable to its number of weights.
        skipped: Dict from the path of a layer to the reason why nothing in it is pruned.
        masks: Dict from the path of a variable to a bool array of its shape, true where a weight
            was kept; empty in the report of a callback, whose masks still change.

    Returns:
        A record with the arguments as attributes.

    Raises:
        None.

    Example:

    ```python
    import keras
    import keras_compress as kc

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(16), keras.layers.ReLU()])
    report = kc.prune_magnitude(model, 0.5)
    assert list(report.touched.values()) == [128]
    ```

    Reference:
        None; a record.
    """

    touched: dict[str, int]
    skipped: dict[str, str]
    masks: dict[str, np.ndarray] = field(default_factory=dict)

    def __str__(self) -> str:
        width = max(len(name) for name in [*self.touched, *self.skipped])
        lines = []
        for path, size in self.touched.items():
            pruned = ""
            if path in self.masks:
                share = 1.0 - np.count_nonzero(self.masks[path]) / size
                pruned = f", {share:.2%} pruned"
            lines.append(f"{path:<{width}}  {size} weights{pruned}")
        lines += [f"{path:<{width}}  skipped: {why}" for path, why in self.skipped.items()]
        return "\n".join(lines)
