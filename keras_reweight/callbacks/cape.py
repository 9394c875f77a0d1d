"""Epochs on empirical probabilities between epochs on outcomes."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from keras_reweight.core.validation import (
    check_boolean,
    check_choice,
    check_integer,
    check_number,
)
from keras_reweight.data.soft_label_dataset import SoftLabelDataset
from keras_reweight.functional.empirical_probability_targets import empirical_probability_targets


class CaPE(keras.callbacks.Callback):
    """Calibrated probability estimation: keep probabilities from running to 0 and 1.

    Use it to go on training a binary classifier whose probabilities matter and whose validation
    log-loss has begun to rise. Every `period`-th epoch (the first one included) trains on soft
    labels, the share of positive outcomes among samples with similar predictions, made by
    `empirical_probability_targets` from one `predict` over the training set; all other epochs
    train on the outcomes. Compile a binary crossentropy, and keep the best epoch by validation
    log-loss with `ModelCheckpoint`. It was no better than early stopping alone on small tasks.

    Args:
        dataset: The `SoftLabelDataset` that is passed to `fit`, with labels of shape `(samples,)`
            or `(samples, 1)`, 0 or 1.
        period: Integer >= 1, a soft epoch in so many epochs. Defaults to `3`.
        method: `"bin"` or `"kde"`, see `empirical_probability_targets`. Defaults to `"bin"`.
        num_bins: Integer >= 1, slices of `"bin"`. Defaults to `5`.
        bandwidth: Float > 0, standard deviation of the kernel of `"kde"`. Defaults to `0.05`.
        window: Integer >= 1, half width in samples of the window of `"kde"`. Defaults to `100`.
        from_logits: Boolean, whether the model gives logits. Defaults to `False`.

    Returns:
        A `keras.callbacks.Callback` for `fit`. Afterwards the dataset has its own labels again.

    Raises:
        TypeError: If `dataset` is no `SoftLabelDataset` or another argument has the wrong type.
        ValueError: If an argument is out of range, or in `fit`: the model has not one output per
            sample, `from_logits` contradicts the compiled loss, or an epoch took no batch from
            `dataset`.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    x = np.random.default_rng(0).normal(size=(40, 3))
    dataset = kr.data.SoftLabelDataset(x, x[:, 0] > 0, batch_size=20)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, activation="sigmoid")])
    model.compile("adam", "binary_crossentropy")
    model.fit(dataset, epochs=4, verbose=0, callbacks=[kr.callbacks.CaPE(dataset, period=2)])
    ```

    Reference:
        Liu et al., "Deep Probability Estimation", ICML 2022, arXiv 2111.10734; official code
        jackzhu727/deep-probability-estimation.

    Deviations:
        `period` is the `calpertrain + 1` of the official code, which counts the epochs between.
        The weights of the dataset weight the means.

    Cost:
        One `predict` over the training set in every soft epoch.
    """

    def __init__(
        self,
        dataset: SoftLabelDataset,
        *,
        period: int = 3,
        method: str = "bin",
        num_bins: int = 5,
        bandwidth: float = 0.05,
        window: int = 100,
        from_logits: bool = False,
    ):
        if not isinstance(dataset, SoftLabelDataset):
            raise TypeError(f"`dataset` must be a SoftLabelDataset, got {dataset!r:.60}.")
        check_integer("period", period, minimum=1)
        check_choice("method", method, ("bin", "kde"))
        check_integer("num_bins", num_bins, minimum=1)
        check_number("bandwidth", bandwidth, exclusive_minimum=0.0)
        check_integer("window", window, minimum=1)
        check_boolean("from_logits", from_logits)
        super().__init__()
        self.dataset = dataset
        self.period = period
        self.method = method
        self.num_bins = num_bins
        self.bandwidth = bandwidth
        self.window = window
        self.from_logits = from_logits
        self._given_before = 0

    def on_train_begin(self, logs=None):
        declared = getattr(self.model.loss, "from_logits", None)
        if declared is not None and bool(declared) != self.from_logits:
            raise ValueError(
                f"`from_logits`={self.from_logits} contradicts the compiled loss "
                f"{self.model.loss.name!r}, which has from_logits={declared}."
            )

    def on_epoch_begin(self, epoch, logs=None):
        if epoch % self.period:
            self.dataset.reset_labels()
        else:
            self.dataset.set_labels(self._targets().reshape(np.shape(self.dataset.y)))
        self._given_before = self.dataset.num_batches_given

    def on_epoch_end(self, epoch, logs=None):
        if self.dataset.num_batches_given == self._given_before:
            raise ValueError(
                "CaPE: the epoch took no batch from `dataset`; pass the same SoftLabelDataset to "
                "`fit`."
            )

    def on_train_end(self, logs=None):
        self.dataset.reset_labels()

    def _targets(self) -> np.ndarray:
        dataset = self.dataset
        outputs = self.model.predict(dataset.x, batch_size=dataset.batch_size, verbose=0)
        outputs = np.asarray(outputs, "float64") if isinstance(outputs, np.ndarray) else outputs
        if np.shape(outputs) not in ((dataset.num_samples,), (dataset.num_samples, 1)):
            shapes = keras.tree.map_structure(np.shape, outputs)
            raise ValueError(
                "CaPE needs a model with one output, a probability or logit per sample of shape "
                f"({dataset.num_samples}, 1), got {shapes}."
            )
        if self.from_logits:
            outputs = 0.5 * (1 + np.tanh(0.5 * outputs))
        return empirical_probability_targets(
            outputs,
            dataset.hard_labels,
            method=self.method,
            num_bins=self.num_bins,
            bandwidth=self.bandwidth,
            window=self.window,
            sample_weight=dataset.sample_weight,
        )

    def __deepcopy__(self, memo: dict[int, Any]):
        # Tuners copy callbacks for every trial, but pass the same dataset to `fit`.
        clone = type(self)(
            self.dataset,
            period=self.period,
            method=self.method,
            num_bins=self.num_bins,
            bandwidth=self.bandwidth,
            window=self.window,
            from_logits=self.from_logits,
        )
        memo[id(self)] = clone
        return clone
