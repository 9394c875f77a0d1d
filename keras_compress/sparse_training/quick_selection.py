"""Features worth keeping, found without labels."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_compress.pruning.allocations.erk_allocation import ERKAllocation
from keras_compress.sparse_training.input_strength import input_strength
from keras_compress.sparse_training.set import SET
from keras_compress.sparse_training.sparse_training import SparseTraining
from keras_reweight.core.random_state import preserved_random_state
from keras_reweight.core.validation import check_integer, check_number

_NOISE = 0.2
_LEARNING_RATE = 0.01
#: Per step and relative to the learning rate, as Keras has it: 1e-5 of each weight.
_WEIGHT_DECAY = 1e-5 / _LEARNING_RATE
_BATCH_SIZE = 100


def quick_selection(
    x: Any,
    k: int,
    *,
    hidden: int = 1000,
    epsilon: float = 13.0,
    fraction: float = 0.2,
    epochs: int = 100,
    seed: int = 0,
) -> np.ndarray:
    """The `k` features of unlabelled data that a sparse auto-encoder connects to most strongly.

    Use it to shrink the input of a model where labels are few. Features must have comparable
    scales: standardize them first, otherwise the ones of large variance win. A denoising
    auto-encoder with one hidden layer of sigmoids learns to restore the features while its
    connections evolve (`SET`): connections to features that tell about others grow strong and
    stay, those to noise are dropped again and again. The strength of a feature is the sum of the
    magnitudes of its weights.

    Args:
        x: Float array of shape `(samples, features)`.
        k: Integer, number of features to select, 1 to `features`.
        hidden: Integer >= 1, hidden units. Defaults to `1000`.
        epsilon: Float > 0: `epsilon * (inputs + outputs)` random connections are drawn for each of
            the two matrices. Defaults to `13.0`.
        fraction: Float in `[0, 1]`, share of the connections that change after an epoch.
            Defaults to `0.2`.
        epochs: Integer >= 1, passes over the data. Defaults to `100`.
        seed: Integer >= 0, decides weights, connections, noise and order. Defaults to `0`.

    Returns:
        Integer array of shape `(k,)`: indices of the selected features, strongest first.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If `x` is not a finite matrix or an argument is outside its range.

    Example:

    ```python
    import numpy as np
    import keras_compress as kc

    x = np.random.default_rng(0).normal(size=(100, 6)).astype("float32")
    indices = kc.sparse_training.quick_selection(x, 2, hidden=8, epochs=2)
    assert indices.shape == (2,)
    ```

    Reference:
        Atashgahi et al., "Quick and Robust Feature Selection: the Strength of Energy-efficient
        Sparse Training for Autoencoders", Machine Learning 2022, arXiv 2012.00560, algorithm 1;
        official code github.com/zahraatashgahi/QuickSelection.

    Deviations:
        The official code draws places with repetition; here the number of connections is exact, the
        one it gives on average, spread over both matrices. It trains one more epoch than it uses:
        strengths are taken after the last update, before new connections grow. Here they are taken
        at the end, without the weights another update would drop. Kernels of Keras are dense, so a
        sparse auto-encoder costs as much as a dense one.

    Cost:
        One training of a model with `2 * features * hidden` weights.
    """
    x = _matrix(x)
    check_integer("k", k, minimum=1, maximum=x.shape[1])
    for name, value in (("hidden", hidden), ("epochs", epochs)):
        check_integer(name, value, minimum=1)
    check_integer("seed", seed, minimum=0)
    check_number("epsilon", epsilon, exclusive_minimum=0.0)
    features = x.shape[1]
    # What is left of the places when the same one may be drawn twice.
    density = -np.expm1(-epsilon * (features + hidden) / (features * hidden))
    batches = _Noisy(x, epochs, seed)
    sparse = SparseTraining(
        float(1.0 - density),
        method=SET(fraction),
        allocation=ERKAllocation(min_keep=0.0),
        frequency=batches.steps,
        rescale=False,
        seed=seed,
    )
    with preserved_random_state():
        model = _auto_encoder(features, hidden, seed)
        model.fit(batches, verbose=0, callbacks=[sparse])
    strength = input_strength(model.layers[0].kernel, fraction=fraction)
    return np.argsort(-strength, kind="stable")[:k]


class _Noisy(keras.utils.PyDataset):
    """Noisy and clean features, in another order each time; the noise is drawn once.

    All passes over the data are one epoch of Keras, whose beginning and end take time.
    """

    def __init__(self, x, epochs, seed):
        super().__init__()
        self.x = x
        self.epochs = epochs
        self.seed = seed
        self.steps = -(-len(x) // _BATCH_SIZE)
        noise = np.random.default_rng([seed, 1]).standard_normal(x.shape)
        self.noisy = (x + _NOISE * noise).astype("float32")
        self._order = -1, np.arange(0)

    def __len__(self):
        return self.epochs * self.steps

    def __getitem__(self, index):
        epoch, batch = divmod(index, self.steps)
        if self._order[0] != epoch:
            rng = np.random.default_rng([self.seed, 2, epoch])
            self._order = epoch, rng.permutation(len(self.x))
        rows = self._order[1][batch * _BATCH_SIZE : (batch + 1) * _BATCH_SIZE]
        return self.noisy[rows], self.x[rows]


def _auto_encoder(features, hidden, seed):
    model = keras.Sequential(
        [
            keras.Input((features,)),
            keras.layers.Dense(hidden, activation="sigmoid"),
            keras.layers.Dense(features),
        ]
    )
    rng = np.random.default_rng([seed, 0])
    for layer in model.layers:
        layer.kernel.assign(0.1 * rng.standard_normal(layer.kernel.shape).astype("float32"))
    optimizer = keras.optimizers.SGD(_LEARNING_RATE, momentum=0.9, weight_decay=_WEIGHT_DECAY)
    model.compile(optimizer, _squared_error)
    return model


def _squared_error(y_true, y_pred):
    """Half the squared distance: the mean over features would make steps smaller with more."""
    return 0.5 * ops.sum(ops.square(y_pred - y_true), axis=-1)


def _matrix(x):
    x = np.asarray(x)
    if x.dtype.kind not in "fiu":
        raise TypeError(f"`x` must be an array of numbers, got one of dtype {x.dtype}.")
    x = x.astype("float32")
    if x.ndim != 2 or not len(x) or not np.isfinite(x).all():
        raise ValueError(
            f"`x` must be a finite matrix of samples and features, got shape {x.shape}."
        )
    return x
