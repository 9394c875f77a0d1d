"""Which channel of one model stands for which of another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True, eq=False)
class ChannelMatching:
    """For every group of channels of a model the order that lines it up with another model.

    Made by `match_weights` and `match_activations`; `permute` carries it out. Any dict of
    permutations does as well, so this record is mostly there to be looked at.

    Args:
        permutations: Dict from the name of a group (the first layer that makes its channels) to an
            integer array of shape `(channels,)`: entry `i` is the channel of the second model that
            goes to place `i`.
        similarity: Tuple of floats, what was maximized: before, and after each sweep.
        stays: Dict from the path of a layer to the reason why its channels keep their places.
        converged: Boolean, whether the last sweep found nothing to improve.

    Returns:
        A record with the arguments as attributes, the properties `num_moved` (channels that change
        their place) and `num_channels`, `inverse()`, and a table as `str`.

    Raises:
        None.

    Example:

    ```python
    import numpy as np
    import keras_reweight as kr

    matching = kr.matching.ChannelMatching({"hidden": np.array([2, 0, 1, 3])})
    assert matching.num_moved == 3 and matching.num_channels == 4
    np.testing.assert_array_equal(matching.inverse().permutations["hidden"], [1, 2, 0, 3])
    ```

    Reference:
        Ainsworth et al., "Git Re-Basin: Merging Models modulo Permutation Symmetries", ICLR 2023,
        arXiv 2209.04836.
    """

    permutations: Mapping[str, np.ndarray]
    similarity: tuple[float, ...] = ()
    stays: Mapping[str, str] = field(default_factory=dict)
    converged: bool = True

    @property
    def num_channels(self) -> int:
        """Number of channels in all groups."""
        return sum(len(order) for order in self.permutations.values())

    @property
    def num_moved(self) -> int:
        """Number of channels that change their place."""
        return sum(
            int(np.count_nonzero(order != np.arange(len(order))))
            for order in self.permutations.values()
        )

    def inverse(self) -> ChannelMatching:
        """The matching that undoes this one."""
        inverted = {name: np.argsort(order) for name, order in self.permutations.items()}
        return ChannelMatching(inverted, stays=self.stays)

    def __str__(self) -> str:
        lines = []
        for name, order in self.permutations.items():
            moved = int(np.count_nonzero(order != np.arange(len(order))))
            lines.append(f"{name}: {moved} of {len(order)} channels moved")
        lines += [f"{path}: stays, {reason}" for path, reason in self.stays.items()]
        return "\n".join(lines)
