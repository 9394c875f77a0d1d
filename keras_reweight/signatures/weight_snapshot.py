"""The weights of a model at one moment."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np

from keras_reweight.core.state import sync_model
from keras_reweight.core.validation import check_built
from keras_reweight.signatures.architecture import Architecture
from keras_reweight.signatures.live_weights import read_variable, read_weights, write_weights
from keras_reweight.signatures.weight_digest import digest_of


class WeightSnapshot:
    """Host copies of all weights of a model, to compare with or to put back bit for bit.

    Take one before fine-tuning instead of cloning the model: a snapshot stands in for a model as
    `pretrained` or `clean` in `WeightSignature.extract`. Optimizer, metrics and seed states are
    not part of it.

    Args:
        model: A built `keras.Model`; later changes of the model do not reach the snapshot.

    Returns:
        An object with `restore(model)`, `digest()`, `architecture` and `arrays`, a tuple of
        read-only NumPy arrays in the order of `model.weights`.

    Raises:
        TypeError: If `model` is not a `keras.Model`.
        ValueError: If `model` is not built; from `restore`, if the model is of another
            architecture.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    snapshot = kr.WeightSnapshot(model)
    model.compile("sgd", "mse")
    model.fit(np.ones((4, 2)), np.ones((4, 1)), verbose=0)
    snapshot.restore(model)
    assert kr.weight_digest(model) == snapshot.digest()
    ```

    Reference:
        None; plumbing of the other classes here.

    Cost:
        Host memory of one copy of the weights.
    """

    def __init__(self, model: keras.Model):
        check_built(model, "WeightSnapshot")
        self.architecture = Architecture.of(model)
        arrays = read_weights(model)
        for array in arrays.values():
            array.setflags(write=False)
        self.arrays: tuple[np.ndarray, ...] = tuple(arrays[i] for i in range(len(arrays)))

    def restore(self, model: keras.Model) -> None:
        """Write all weights back; all or nothing."""
        check_built(model, "WeightSnapshot.restore")
        Architecture.of(model).check(self.architecture, "The snapshot")
        write_weights(model, dict(enumerate(self.arrays)))

    def digest(self) -> str:
        """What `weight_digest` gives for a model with these weights."""
        return digest_of(dict(enumerate(self.arrays)))

    def __repr__(self) -> str:
        size = sum(array.nbytes for array in self.arrays)
        return f"WeightSnapshot({len(self.arrays)} weights, {size} bytes)"


def architecture_of(
    source: keras.Model | WeightSnapshot, argument: str, caller: str
) -> Architecture:
    """The architecture of a model or a snapshot; an error names the argument."""
    if isinstance(source, WeightSnapshot):
        return source.architecture
    if source is None:
        raise ValueError(f"`{argument}` must be a model or a WeightSnapshot, got None.")
    check_built(source, caller, argument)
    return Architecture.of(source)


def weight_reader(source: keras.Model | WeightSnapshot) -> Callable[[int], np.ndarray]:
    """A function from a position to that weight of a model or a snapshot, to read only."""
    if isinstance(source, WeightSnapshot):
        return source.arrays.__getitem__
    sync_model(source)
    weights = list(source.weights)
    return lambda index: read_variable(weights[index])
