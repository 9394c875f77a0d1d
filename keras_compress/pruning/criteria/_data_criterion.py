"""Base of criteria that look at the model's gradients on data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_compress.pruning.criteria.criterion import Criterion, host_value
from keras_reweight.core.batches import batch_length, iterate_batches
from keras_reweight.core.gradients import value_and_grad
from keras_reweight.core.no_config import NoConfig
from keras_reweight.core.validation import check_boolean, check_integer


class DataCriterion(Criterion):
    """Holds data and the loss, and equals nothing but itself.

    Args:
        data: Everything `iterate_batches` takes; read again at every update of the masks.
        loss: Anything `compile` takes; `None` for the compiled loss.
        batch_size: Integer, for arrays.
        training: Bool, the mode of the forward pass.
    """

    get_config = NoConfig("it holds a data set")

    def __init__(
        self, data: Any, *, loss: Any = None, batch_size: int = 32, training: bool = False
    ):
        check_integer("batch_size", batch_size, minimum=1)
        check_boolean("training", training)
        self.data = data
        self.loss = loss
        self.batch_size = batch_size
        self.training = training

    def __eq__(self, other) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(...)"

    def batches(self, data: Any = None, argument: str = "data") -> Iterator[tuple]:
        """`(x, y, sample_weight)` of all batches.

        Raises:
            ValueError: If there are none: a generator is empty after the first pass.
        """
        empty = True
        data = self.data if data is None else data
        for batch in iterate_batches(data, self.batch_size, argument=argument):
            empty = False
            yield batch
        if empty:
            raise ValueError(
                f"`{argument}` gives no batches. What can be read only once, such as a generator, "
                "must be made into a list."
            )

    def gradients(
        self, model: keras.Model, variables: Sequence[keras.Variable]
    ) -> Iterator[tuple[int, list[np.ndarray]]]:
        """Size and float64 gradients of every batch; nothing of the model changes."""
        for x, y, sample_weight in self.batches():
            _, gradients, _ = value_and_grad(
                model, x, y, sample_weight=sample_weight, **self.options(variables)
            )
            yield batch_length(x), to_float64(gradients)

    def options(self, variables: Sequence[keras.Variable]) -> dict[str, Any]:
        """What all gradient functions are told."""
        return {"loss": self.loss, "training": self.training, "variables": list(variables)}


def weights_of(variables: Sequence[keras.Variable]) -> list[np.ndarray]:
    """The weights in float64; NaN is refused."""
    return [host_value(variable).astype("float64") for variable in variables]


def to_float64(tensors: Sequence[Any]) -> list[np.ndarray]:
    """Host copies for exact sums."""
    return [np.asarray(ops.convert_to_numpy(tensor)).astype("float64") for tensor in tensors]


def mean_over(parts: Iterator[tuple[int, list[np.ndarray]]]) -> list[np.ndarray]:
    """Mean of lists of arrays, every sample of a batch counting once."""
    total, sums = 0, None
    for count, arrays in parts:
        total += count
        terms = [count * array for array in arrays]
        sums = terms if sums is None else [a + b for a, b in zip(sums, terms, strict=True)]
    return [array / total for array in sums or []]
