"""How long a model takes, as a cost to prune for."""

from __future__ import annotations

import time

import keras
import numpy as np
from keras import ops, tree

from keras_reweight.core.call_shapes import symbolic_inputs
from keras_reweight.core.forward import make_forward, predictions_of
from keras_reweight.core.validation import check_integer


@keras.saving.register_keras_serializable(package="keras_compress")
class Latency:
    """Seconds of one compiled forward pass on this machine, the median of several.

    The cost behind `budget=Latency()`: channels go until the model is fast enough here. What counts
    in the end is the machine and the runtime that will run the model; if that is another one, write
    a function `model -> seconds` that measures there, and pass it as the budget instead. Measure
    on a quiet machine: a noisy time makes a noisy choice.

    Args:
        batch_size: Integer >= 1, samples in a pass. Defaults to `1`.
        repeats: Integer >= 1, timed passes, after two that are not. Defaults to `20`.

    Returns:
        A function from a model to a float, the median of the seconds.

    Raises:
        ValueError: At the call, if an argument is out of range, or an input axis has no size.
        TypeError: At the call, if an argument is no integer.

    Example:

    ```python
    import keras
    import keras_compress as kc

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)])
    seconds = kc.structured.Latency(batch_size=16, repeats=3)(model)
    ```

    Reference:
        None; a clock.
    """

    def __init__(self, batch_size: int = 1, *, repeats: int = 20):
        self.batch_size = batch_size
        self.repeats = repeats

    def check(self) -> None:
        """Raise for wrong arguments; the constructor only stores them."""
        check_integer("batch_size", self.batch_size, minimum=1)
        check_integer("repeats", self.repeats, minimum=1)

    def __call__(self, model: keras.Model) -> float:
        self.check()
        inputs = tree.map_structure(
            lambda tensor: np.zeros((self.batch_size, *tensor.shape[1:]), tensor.dtype),
            symbolic_inputs(model),
        )
        forward = make_forward(lambda batch: predictions_of(model, batch), model.variables)
        times = []
        for _ in range(2 + self.repeats):
            began = time.perf_counter()
            for output in tree.flatten(forward(inputs)):
                # The only way to wait for a result that every backend has.
                ops.convert_to_numpy(output)
            times.append(time.perf_counter() - began)
        return float(np.median(times[2:]))

    def get_config(self) -> dict[str, int]:
        return {"batch_size": self.batch_size, "repeats": self.repeats}

    @classmethod
    def from_config(cls, config: dict[str, int]) -> Latency:
        return cls(**config)
