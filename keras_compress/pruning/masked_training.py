"""Base of every callback that keeps weights at zero while a model trains."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from keras_compress.pruning.prunable_weights import PrunableWeights, find_prunable_weights
from keras_compress.pruning.pruning_report import PruningReport
from keras_reweight.core.masks import MaskSet
from keras_reweight.core.training_callback import TrainingCallback


class MaskedTraining(TrainingCallback):
    """Attaches masks for the length of a `fit` and leaves plain variables behind.

    Subclasses override `check_weights` (arguments that need the sizes), `on_attach` / `on_detach`
    (call `super()`), and write `self.mask_set`.
    """

    def __init__(self, *, layers: Any = None, name: str | None = None):
        super().__init__(name=name)
        self.layers = layers
        self.report: PruningReport | None = None
        self._mask_set: MaskSet | None = None
        self._weights = PrunableWeights()
        self._training = False

    @property
    def mask_set(self) -> MaskSet:
        """The masks inside the step; only while attached."""
        if self._mask_set is None:
            raise RuntimeError(f"Callback {self.name!r} is not attached to a model.")
        return self._mask_set

    @property
    def masks(self) -> dict[str, np.ndarray]:
        """Dict from variable path to bool array, true where kept: present or last known masks."""
        if self.report is None:
            return {}
        state = self.get_state()
        return {path: state[f"mask/{i}"] for i, path in enumerate(self.report.touched)}

    def find_weights(self, model: keras.Model) -> PrunableWeights:
        """What gets masks."""
        return find_prunable_weights(model, self.layers, caller=self.name)

    def check_weights(self, weights: PrunableWeights) -> None:
        pass

    # Attaching -------------------------------------------------------------------------------

    def on_attach(self, model: keras.Model) -> None:
        weights = self.find_weights(model)
        self.check_weights(weights)
        self._mask_set = MaskSet(model, weights.variables, name=f"{self.name}_mask")
        self._weights = weights
        sizes = [int(np.prod(variable.shape)) for variable in weights.variables]
        touched = dict(zip(weights.paths, sizes, strict=True))
        self.report = PruningReport(touched, weights.skipped)

    def on_detach(self, model: keras.Model) -> None:
        masks, self._mask_set = self._mask_set, None
        self._weights = PrunableWeights()
        if masks is not None:
            # After a mere `evaluate` the weights are none of our business.
            if self._training:
                masks.apply()
            masks.remove()
        self._training = False

    # State -----------------------------------------------------------------------------------

    def host_state(self) -> dict[str, np.ndarray]:
        if self._mask_set is None:
            return dict(self._last_state)
        # By number: paths differ between a model from code and the same model from a file.
        return dict(zip(self.mask_keys(), self._mask_set.read(), strict=True))

    def set_host_state(self, state: dict[str, np.ndarray]) -> None:
        expected = self.mask_keys()
        if set(state) != set(expected):
            raise ValueError(
                f"Callback {self.name!r}: the state must hold {expected}, it holds "
                f"{sorted(state)}. It belongs to another model or other `layers`."
            )
        self.mask_set.write([state[key] for key in expected])
        if self._training:
            self.mask_set.apply()

    def mask_keys(self) -> list[str]:
        """Names of the masks in the state."""
        return [f"mask/{i}" for i in range(len(self._weights.variables))]

    # Training --------------------------------------------------------------------------------

    def on_train_begin(self, logs=None) -> None:
        self._training = True
        super().on_train_begin(logs)

    def on_test_begin(self, logs=None) -> None:
        if self._training:
            self.settle()

    def on_epoch_end(self, epoch, logs=None) -> None:
        if self._mask_set is None:
            return
        self.settle()
        if logs is not None:
            key = "sparsity" if "sparsity" not in logs else f"{self.name}_sparsity"
            logs[key] = self._mask_set.sparsity()

    def settle(self) -> None:
        """Bring weights and moving averages in line with the masks between two steps."""
        if self.mask_set.has_averages():
            self.mask_set.apply()

    # Copies and configs ----------------------------------------------------------------------

    def __deepcopy__(self, memo):
        live = self._mask_set, self._weights, self._training
        self._mask_set, self._weights, self._training = None, PrunableWeights(), False
        try:
            return super().__deepcopy__(memo)
        finally:
            self._mask_set, self._weights, self._training = live

    def get_config(self) -> dict:
        return {"layers": self.layers, **super().get_config()}
