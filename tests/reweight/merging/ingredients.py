"""Models of one start, and the loops over weights that the references share."""

import functools

import numpy as np

from keras_reweight.signatures import WeightSnapshot
from keras_reweight.signatures.live_weights import read_weights
from tests.reweight.signatures import models


@functools.cache
def shared(place=0):
    """A dense model for all tests that leave it as it is: to build one takes longer than they."""
    return models.dense(seed=place)


@functools.cache
def start(place=0):
    """The weights of `shared`."""
    return WeightSnapshot(shared(place))


def tuned(model, count, scale=0.1, seed=1):
    """Snapshots of what fine-tuning could have made of a model, without training it."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        snapshot = WeightSnapshot(model)
        snapshot.arrays = tuple(
            (array + scale * np.abs(array) * rng.normal(size=array.shape)).astype(array.dtype)
            for array in snapshot.arrays
        )
        found.append(snapshot)
    return found


def arrays_of(item):
    if isinstance(item, WeightSnapshot):
        return [array.astype("float64") for array in item.arrays]
    return [array.astype("float64") for array in read_weights(item).values()]


def each_weight(formula, model, items):
    """`formula(weight of the model, its values in the items)` for every weight, as changes."""
    columns = zip(arrays_of(model), *(arrays_of(item) for item in items), strict=True)
    return [formula(base, list(values)) - base for base, *values in columns]


def deltas(patch):
    return [patch.delta(index) for index in patch.indices]


def position(model, path):
    """Where a weight is, by the end of its path."""
    return next(i for i, v in enumerate(model.weights) if v.path.endswith(path))


def write(model, arrays):
    for variable, array in zip(model.weights, arrays, strict=True):
        variable.assign(array)
