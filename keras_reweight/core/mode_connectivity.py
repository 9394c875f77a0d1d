"""What lies on the straight line between two models."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ModeConnectivity:
    """A measure along the straight line between the weights of two models.

    Made by `linear_mode_connectivity`.

    Args:
        positions: Float array of shape `(points,)`, 0 at the first model, 1 at the second.
        values: Float array of shape `(points,)`, error or loss at each position.

    Returns:
        A record with the arguments as attributes, and the properties `connectivity`, mean of both
        ends minus the value farthest from it (negative: a barrier; positive: a point better than
        both ends), and `barrier`, the largest height above the line between the ends (at least 0).

    Raises:
        None.

    Example:

    ```python
    import numpy as np
    from keras_compress.analysis import ModeConnectivity

    found = ModeConnectivity(np.array([0.0, 0.5, 1.0]), np.array([0.1, 0.9, 0.3]))
    assert abs(found.connectivity + 0.7) < 1e-9 and abs(found.barrier - 0.7) < 1e-9
    ```

    Reference:
        Yang et al., "A Three-regime Model of Network Pruning", ICML 2023, arXiv 2305.18383,
        equation 2, sign as in github.com/YefanZhou/ThreeRegimePruning; `barrier` as in Frankle et
        al., "Linear Mode Connectivity and the Lottery Ticket Hypothesis", ICML 2020,
        arXiv 1912.05671.
    """

    positions: np.ndarray
    values: np.ndarray

    @property
    def connectivity(self) -> float:
        middle = 0.5 * (self.values[0] + self.values[-1])
        return float(middle - self.values[np.abs(middle - self.values).argmax()])

    @property
    def barrier(self) -> float:
        straight = (1.0 - self.positions) * self.values[0] + self.positions * self.values[-1]
        return float(max(np.max(self.values - straight), 0.0))
