"""Prior variances that follow the encodings."""

from __future__ import annotations

import copy
from typing import Any

import keras
import numpy as np

from keras_reweight.core.random_state import preserved_random_state
from keras_reweight.core.selection import select_layers
from keras_reweight.core.validation import check_integer
from keras_reweight.layers.ard_prior import SMALLEST_VARIANCE, ARDPrior


class ARDPriorUpdate(keras.callbacks.Callback):
    """Sets the prior variances of `ARDPrior` layers to the second moments of the encodings.

    Use it with every training of a model with an `ARDPrior`. Before each epoch the model encodes
    samples in inference mode, and the variance `v_l` of each latent axis becomes the mean of
    `mean_l^2 + exp(log_variance_l)`, which is constant during the epoch. Samples that are not
    trained on give the prior of the paper.

    Args:
        x: Inputs of the model: an array of shape `(num_samples, ...)` and any dtype, or a list or
            dict of such arrays.
        num_samples: Integer >= 1, how many samples to encode, drawn anew each epoch where `x` has
            more. Defaults to `10000`.
        layers: Which `ARDPrior` layers: `None` for all, a name, pattern, predicate or list of
            these. Defaults to `None`.
        batch_size: Integer >= 1. Defaults to `256`.
        seed: Integer >= 0, seed of the draws. Defaults to `0`.

    Returns:
        A `keras.callbacks.Callback` for `fit`; the layers keep the last variances.

    Raises:
        TypeError: If an option is not an integer, or `x` holds something else than arrays.
        ValueError: If an option is out of its range, `x` is empty or of several lengths; in `fit`,
            if `layers` selects no `ARDPrior`.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    inputs = keras.Input((6,))
    latent = kr.layers.ARDPrior(0.05, seed=0)(keras.layers.Dense(2 * 4)(inputs))
    model = keras.Model(inputs, keras.layers.Dense(6)(latent))
    model.compile("adam", "mse")
    x = np.random.default_rng(0).normal(size=(32, 6)).astype("float32")
    model.fit(x[:24], x[:24], verbose=0, callbacks=[kr.callbacks.ARDPriorUpdate(x[24:])])
    ```

    Reference:
        Saha, Joshi and Whitaker, "ARD-VAE: A Statistical Formulation to Find the Relevant Latent
        Dimensions of Variational Autoencoders", WACV 2025, arXiv 2501.10901.

    Deviations:
        The official code squares one sample of every encoding; its expectation is used here.

    Cost:
        One forward pass of `num_samples` samples per epoch, outside the compiled step.
    """

    def __init__(
        self,
        x: Any,
        *,
        num_samples: int = 10000,
        layers: Any = None,
        batch_size: int = 256,
        seed: int = 0,
    ):
        leaves = keras.tree.flatten(x)
        if any(len(getattr(leaf, "shape", ())) == 0 for leaf in leaves):
            raise TypeError(f"`x` must be an array, or a list or dict of arrays, got {x!r:.80}.")
        lengths = {len(leaf) for leaf in leaves}
        if len(lengths) != 1 or 0 in lengths:
            raise ValueError(f"`x` must hold arrays of one length > 0, got {sorted(lengths)}.")
        check_integer("num_samples", num_samples, minimum=1)
        check_integer("batch_size", batch_size, minimum=1)
        check_integer("seed", seed, minimum=0)
        super().__init__()
        self.x = x
        self.num_samples = num_samples
        self.layers = layers
        self.batch_size = batch_size
        self.seed = seed

    def on_train_begin(self, logs=None):
        self._selected()

    def on_epoch_begin(self, epoch, logs=None):
        layers = self._selected()
        with preserved_random_state():
            moments = self._moments(layers, self._rows(epoch))
        for layer, moment in zip(layers, moments, strict=True):
            variance = np.maximum(moment, SMALLEST_VARIANCE).astype("float32")
            layer.prior_variance.assign(variance)

    def _selected(self):
        # The property brings the state of a JAX epoch back into the variables.
        return select_layers(self.model, self.layers, accept=_why_not).touched

    def _rows(self, epoch):
        length = len(keras.tree.flatten(self.x)[0])
        if length <= self.num_samples:
            return np.arange(length)
        rows = np.random.default_rng([self.seed, epoch]).permutation(length)
        return np.sort(rows[: self.num_samples])

    def _moments(self, layers, rows):
        """Mean second moment of every axis, one float64 array of shape `(latent,)` a layer."""
        found: list[list[np.ndarray]] = [[] for _ in layers]
        try:
            for layer, entries in zip(layers, found, strict=True):
                layer.observe(entries.append)
            for begin in range(0, len(rows), self.batch_size):
                batch = rows[begin : begin + self.batch_size]
                inputs = keras.tree.map_structure(lambda leaf, batch=batch: leaf[batch], self.x)
                self.model(inputs, training=False)
        finally:
            for layer in layers:
                layer.observe(None)
        return [np.concatenate(entries).astype("float64").mean(axis=0) for entries in found]

    def __deepcopy__(self, memo):
        # Tuners copy callbacks for every trial; the data is only read, and may be large.
        clone = copy.copy(self)
        clone.set_model(None)
        memo[id(self)] = clone
        return clone


def _why_not(layer):
    return None if isinstance(layer, ARDPrior) else "not an ARDPrior"
