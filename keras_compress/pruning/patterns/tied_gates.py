"""Gates of a recurrent layer lose the same connections."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from keras_compress.pruning.patterns.pattern import Pattern


@keras.saving.register_keras_serializable(package="keras_compress")
class TiedGates(Pattern):
    """Prune a connection of a recurrent layer in all its gates or in none.

    The kernel and the recurrent kernel of a GRU hold three matrices side by side, those of an LSTM
    four, one for each gate. With tied gates a unit of pruning is one connection from an input, or a
    unit, to a unit; it is worth the mean of its scores in the gates. The connections of what is
    left make one graph, which can be looked at or given to a smaller layer; single weights
    (`Pattern`) lose less accuracy at the same sparsity. Other layers are pruned weight by weight.

    Args:
        None.

    Returns:
        A `Pattern` for `Pruning` and `prune_weights`.

    Raises:
        None.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_compress as kc

    model = keras.Sequential([keras.Input((5, 3)), keras.layers.GRU(4)])
    masks = kc.pruning.prune_weights(model, 0.5, pattern=kc.pruning.TiedGates()).masks
    for mask in masks.values():
        first, second, third = np.split(mask, 3, axis=-1)
        assert (first == second).all() and (second == third).all()
    ```

    Reference:
        Darji, "Investigating Sparsity in Recurrent Neural Networks", arXiv 2407.20601.

    Deviations:
        The code of the thesis repeats each row of the mask for the gates, which spreads it over
        other connections, since gates are stored in blocks; here the mask is tiled.
    """

    _gates = 1

    def for_variable(self, variable: keras.Variable, layer: Any) -> TiedGates:
        pattern = type(self)()
        pattern._gates = _num_gates(variable, layer)
        return pattern

    def units(self, score: np.ndarray) -> np.ndarray:
        gates = score.reshape(*score.shape[:-1], self._gates, -1)
        # A connection is gone where all its weights are; single ones count as zero.
        gone = np.isneginf(gates).all(axis=-2)
        return np.where(gone, -np.inf, np.where(np.isneginf(gates), 0.0, gates).mean(axis=-2))

    def expand(self, mask: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        return np.tile(mask, (1,) * (len(shape) - 1) + (self._gates,))

    def num_units(self, shape: tuple[int, ...]) -> int:
        return int(np.prod(shape)) // self._gates


def _num_gates(variable, layer):
    """Matrices side by side in a kernel of a recurrent cell; 1 for everything else."""
    if not hasattr(layer, "state_size") or variable.name not in ("kernel", "recurrent_kernel"):
        return 1
    units = getattr(layer, "units", None) or getattr(layer, "filters", None)
    width = variable.shape[-1]
    return width // units if units and width % units == 0 else 1
