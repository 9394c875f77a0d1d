"""What one round of iterative pruning gave."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class PruningRound:
    """One training of `iterative_prune`: how sparse the model was and what it reached.

    Made by `iterative_prune`, which gives a list of them; `print(round)` shows one line.

    Args:
        index: Integer, 0 for the training before the first pruning.
        sparsity: Float, share of the prunable weights that were zero.
        metrics: Dict from name to float: what `fit` reported, of a `History` the last values.
        masks: Dict from variable path to bool array of the shape of the variable, true where a
            weight was kept.

    Returns:
        A record with the arguments as attributes.

    Raises:
        None.

    Example:

    ```python
    from keras_compress.retraining import PruningRound

    round = PruningRound(2, 0.36, {"val_accuracy": 0.97})
    assert str(round) == "round 2: sparsity 0.3600, val_accuracy 0.97"
    ```

    Reference:
        None; a record.
    """

    index: int
    sparsity: float
    metrics: dict[str, float] = field(default_factory=dict)
    masks: dict[str, np.ndarray] = field(default_factory=dict)

    def __str__(self) -> str:
        metrics = "".join(f", {name} {value:.4g}" for name, value in self.metrics.items())
        return f"round {self.index}: sparsity {self.sparsity:.4f}{metrics}"
