"""How much a loss depends on each weight."""

from __future__ import annotations

import os
from collections.abc import Mapping

import numpy as np

from keras_reweight.core.validation import check_choice, check_integer
from keras_reweight.editing import _weight_arrays
from keras_reweight.signatures.architecture import Architecture

KINDS = ("batch", "sample", "label_free")
_FILE = "keras_reweight.WeightImportance"


class WeightImportance:
    """Importance of every weight for one data set, apart from the model and from the data.

    `fisher_importance` makes it and `selective_dampening` compares two of them. Save that of the
    training data once, and later edits do not need the data any more.

    Args:
        architecture: `Architecture` of the models it belongs to.
        arrays: Dict from position in `model.weights` to a float array of the shape of the weight,
            not negative.
        kind: `"batch"`, `"sample"` or `"label_free"`, how it was computed.
        batch_size: Integer, the samples whose gradients were averaged before they were squared,
            or `None` where data came in batches of their own. Defaults to `None`.

    Returns:
        An object with `value(weight)`, a float32 array of the shape of the weight, `indices`,
        `paths`, `save(path)` and `load(path)`.

    Raises:
        TypeError: If `architecture` is no `Architecture` or `arrays` no dict of arrays.
        ValueError: If `arrays` is empty, does not fit `architecture`, or holds a number that is
            negative or not finite; `kind` is unknown or `batch_size` smaller than 1; from `load`,
            if the file is damaged; from `value`, if there is no such weight.

    Example:

    ```python
    import os
    import tempfile

    import keras
    import numpy as np
    import keras_reweight as kr

    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="head")])
    model.compile(loss="mse")
    data = np.ones((4, 3), "float32"), np.zeros((4, 2), "float32")
    importance = kr.editing.fisher_importance(model, data, batch_size=2)
    path = os.path.join(tempfile.mkdtemp(), "importance.safetensors")
    importance.save(path)
    again = kr.editing.WeightImportance.load(path)
    np.testing.assert_array_equal(again.value("head/kernel"), importance.value(0))
    ```

    Reference:
        None; what `fisher_importance` computes, kept.

    Cost:
        Four bytes a weight.
    """

    def __init__(
        self,
        architecture: Architecture,
        arrays: Mapping[int, np.ndarray],
        *,
        kind: str,
        batch_size: int | None = None,
    ):
        _weight_arrays.check_indices("arrays", architecture, arrays)
        check_choice("kind", kind, KINDS)
        if batch_size is not None:
            check_integer("batch_size", batch_size, minimum=1)
        self.architecture = architecture
        self.arrays = {index: np.array(arrays[index], "float32") for index in sorted(arrays)}
        self.kind = kind
        self.batch_size = batch_size
        for index, array in self.arrays.items():
            if array.shape != architecture[index].shape:
                raise ValueError(
                    f"`arrays`: shape {array.shape} does not fit weight {index}, "
                    f"{architecture[index]}."
                )
            if not np.isfinite(array).all() or (array < 0).any():
                raise ValueError(
                    f"`arrays`: the importance of weight {index}, {architecture[index]}, must be "
                    f"finite and not negative, got values from {array.min()} to {array.max()}."
                )
            array.setflags(write=False)

    @property
    def indices(self) -> tuple[int, ...]:
        """Positions in `model.weights`."""
        return tuple(self.arrays)

    @property
    def paths(self) -> tuple[str, ...]:
        """Paths of the weights, without the name of the model."""
        return tuple(self.architecture[index].path for index in self.arrays)

    def value(self, weight: int | str) -> np.ndarray:
        """The importance of a weight, given by its position or its path."""
        return self.arrays[_weight_arrays.position_of(self.architecture, self.arrays, weight)]

    def save(self, path: str | os.PathLike) -> None:
        """Write a safetensors file; the same importance gives the same bytes."""
        _weight_arrays.save(
            path,
            self.architecture,
            {str(index): array for index, array in self.arrays.items()},
            kind=_FILE,
            header={"importance": self.kind, "batch_size": self.batch_size},
        )

    @classmethod
    def load(cls, path: str | os.PathLike) -> WeightImportance:
        """Read a file that `save` wrote."""
        architecture, arrays, header = _weight_arrays.load(path, kind=_FILE)
        return cls(
            architecture,
            {int(name): array for name, array in arrays.items()},
            kind=header["importance"],
            batch_size=header["batch_size"],
        )

    def __repr__(self) -> str:
        return f"WeightImportance(kind={self.kind!r}, {len(self.arrays)} weights)"
