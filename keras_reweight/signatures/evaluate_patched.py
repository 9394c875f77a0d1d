"""Validation of a patched model during training."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import keras

from keras_reweight.core.random_state import preserved_random_state
from keras_reweight.core.validation import check_integer
from keras_reweight.signatures.alpha import Alpha, strengths
from keras_reweight.signatures.live_weights import assign_all, read_variable
from keras_reweight.signatures.patch import Patch
from keras_reweight.signatures.patched import named_patches, patched
from keras_reweight.signatures.signature_patcher import check_fits


class EvaluatePatched(keras.callbacks.Callback):
    """Evaluate the model with patches on at the end of every epoch, and take them off again.

    For each patch alone, logs `val_<name>_patched_<metric>` for the loss and every metric, for
    example `val_noise_patched_accuracy`; later callbacks and `History` see them (a callback that
    monitors one needs its `mode`, which Keras cannot guess from such a name). Weights are
    restored bit for bit, and so is all other state that evaluation moves (statistics, seeds,
    metrics, host random generators): training goes on exactly as without this callback.

    Args:
        signatures: Dict from name to `Patch`, or a `Patch`, which is taken by its own name.
        x: Inputs as for `model.evaluate`: float array of shape `(samples, ...)`, a dict or list of
            those, a `PyDataset` or another data set.
        y: Targets as for `model.evaluate`, array of shape `(samples, ...)` and any numeric dtype;
            `None` if `x` is a data set. Defaults to `None`.
        alpha: Float, strength of the patches, or what else `patched` takes. Defaults to `1.0`.
        batch_size: Integer, batch size of the evaluation, or `None` for Keras' default.

    Returns:
        A `keras.callbacks.Callback` for `fit`.

    Raises:
        TypeError: If `signatures` is neither a patch nor a dict of patches, or `alpha` not a
            number.
        ValueError: If `signatures` is empty or `alpha` not finite; when training begins, if a
            patch is of another architecture, or does not change a layer that `alpha` names.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", metrics=["mae"])
    patch = kr.Patch.from_deltas(model, [(model.layers[0].kernel, np.ones((2, 1)))], name="noise")
    x, y = np.ones((4, 2)), np.ones((4, 1))
    evaluate = kr.signatures.EvaluatePatched({"noise": patch}, x, y)
    history = model.fit(x, y, verbose=0, callbacks=[evaluate])
    assert "val_noise_patched_mae" in history.history
    ```

    Reference:
        Cai et al., "Robust Weight Signatures: Gaining Robustness as Easy as Patching Weights?",
        ICML 2023, arXiv 2302.12480, for what is patched.

    Cost:
        One evaluation of `x` per patch and epoch.
    """

    def __init__(
        self,
        signatures: Patch | Mapping[str, Patch],
        x: Any,
        y: Any = None,
        *,
        alpha: Alpha | Mapping[str, Alpha] = 1.0,
        batch_size: int | None = None,
    ):
        super().__init__()
        if batch_size is not None:
            check_integer("batch_size", batch_size, minimum=1)
        self.signatures = signatures
        self.x = x
        self.y = y
        self.alpha = alpha
        self.batch_size = batch_size
        self._patches()

    def on_train_begin(self, logs=None):
        for name, (patch, alpha) in self._patches().items():
            check_fits(self.model, patch, name)
            strengths(self.model, patch, alpha)

    def on_epoch_end(self, epoch, logs=None):
        # The property brings the state of a JAX epoch back into the variables.
        model = self.model
        state = [*model.non_trainable_variables, *model.metrics_variables]
        before = [(variable, read_variable(variable)) for variable in state]
        results = {}
        with preserved_random_state():
            for name, (patch, alpha) in self._patches().items():
                # A user's own patcher may have a patch of this name on.
                with patched(model, patch.renamed(f"EvaluatePatched/{name}"), alpha):
                    results[name] = model.evaluate(
                        self.x,
                        self.y,
                        batch_size=self.batch_size,
                        verbose=0,
                        return_dict=True,
                    )
        # After the patches: they may hold moving statistics, which they put back themselves.
        assign_all(before)
        if logs is not None:
            for name, values in results.items():
                logs.update({f"val_{name}_patched_{key}": v for key, v in values.items()})

    def _patches(self):
        return named_patches(self.signatures, self.alpha)

    def __deepcopy__(self, memo):
        # Tuners copy callbacks for every trial; the data is only read, and may be large.
        clone = copy.copy(self)
        clone.set_model(None)
        memo[id(self)] = clone
        return clone
