"""What was found on the line between two sets of weights."""

from __future__ import annotations

from dataclasses import dataclass

from keras_reweight.signatures.patch import Patch


@dataclass(frozen=True)
class InterpolationChoice:
    """The best point between a model's weights and changed ones, and what was measured on the way.

    Made by `select_interpolation` and `rift`. Nothing is on the model: put `patch` on it to get
    the chosen weights.

    Args:
        alpha: Float, the chosen position; 0 is the model as it was.
        patch: `Patch` from the model as it was to the chosen position.
        alphas: Tuple of floats, the positions that were measured.
        scores: Tuple of floats, the score at each of them.
        constraints: Tuple of floats, the constraint at each of them, or `None` if there was none.

    Returns:
        A record with the arguments as attributes; `gain` is the score at `alpha` minus that of the
        model as it was.

    Raises:
        None.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    patch = kr.Patch.from_deltas(model, [(model.layers[0].kernel, np.ones((2, 1)))], name="shift")
    choice = kr.editing.InterpolationChoice(0.5, 0.5 * patch, (0.0, 0.5), (0.7, 0.8), None)
    assert abs(choice.gain - 0.1) < 1e-9
    ```

    Reference:
        None; the result of `select_interpolation`.
    """

    alpha: float
    patch: Patch
    alphas: tuple[float, ...]
    scores: tuple[float, ...]
    constraints: tuple[float, ...] | None

    @property
    def gain(self) -> float:
        return self.scores[self.alphas.index(self.alpha)] - self.scores[self.alphas.index(0.0)]
