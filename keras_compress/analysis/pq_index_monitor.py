"""The sparsity index of the weights, epoch by epoch."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from keras_compress.pruning.criteria.criterion import host_value
from keras_compress.pruning.pq_index import check_exponents, pq_index
from keras_compress.pruning.prunable_weights import find_prunable_weights
from keras_reweight.core.training_callback import TrainingCallback
from keras_reweight.core.validation import check_choice


@keras.saving.register_keras_serializable(package="keras_compress")
class PQIndexMonitor(TrainingCallback):
    """Log the PQ index of the weights that are not zero at the end of every epoch.

    Use it with gradual or iterative pruning to see how much more the model can lose: the index
    first falls, rises when the rest is forced to do the work of the removed, and falls for good
    when the model collapses. The callback changes nothing. Logs get `pq_index`, with
    `scope="layer"` also `pq_index/<path of the variable>`.

    Args:
        p: Float > 0. Defaults to `0.5`.
        q: Float > `p`. Defaults to `1.0`.
        scope: `"global"`, one index of all weights, or `"layer"`, one for each variable, and their
            mean as `pq_index`. Defaults to `"global"`.
        layers: Layer names, paths, `re.Pattern`, layers, predicates or a list of these; `None`
            takes all kernels and embeddings that are trained.
        name: String, unique among the callbacks of one `fit`. Defaults to `"pq_index_monitor"`.

    Returns:
        A `keras.callbacks.Callback` for `fit`.

    Raises:
        TypeError: If `p` or `q` is not a number.
        ValueError: If `0 < p < q` does not hold, `scope` or, in `fit`, a layer is unknown.

    Example:

    ```python
    import keras
    import keras_compress as kc

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8), keras.layers.Dense(1)])
    monitor = kc.callbacks.PQIndexMonitor()  # model.fit(..., callbacks=[monitor])
    assert 0.0 < monitor.measure(model)["pq_index"] < 1.0
    ```

    Reference:
        Diao et al., "Pruning Deep Neural Networks from a Sparsity Perspective", ICLR 2023,
        arXiv 2302.05601.

    Cost:
        The weights are read from the device once an epoch.
    """

    def __init__(
        self,
        p: float = 0.5,
        q: float = 1.0,
        *,
        scope: str = "global",
        layers: Any = None,
        name: str | None = None,
    ):
        check_exponents(p, q)
        check_choice("scope", scope, ["global", "layer"])
        super().__init__(name=name)
        self.p = p
        self.q = q
        self.scope = scope
        self.layers = layers

    def on_attach(self, model):
        if model.built:
            find_prunable_weights(model, self.layers, caller=self.name)

    def on_epoch_end(self, epoch, logs=None):
        if logs is not None:
            logs.update(self.measure(self.model))

    def measure(self, model: keras.Model) -> dict[str, float]:
        """What is logged, for the present weights of a model."""
        weights = find_prunable_weights(model, self.layers, caller=self.name)
        values = [host_value(variable).ravel() for variable in weights.variables]
        if self.scope == "global":
            return {"pq_index": self._index(np.concatenate(values))}
        found = [self._index(value) for value in values]
        each = {f"pq_index/{path}": v for path, v in zip(weights.paths, found, strict=True)}
        return {"pq_index": float(np.mean(found)), **each}

    def _index(self, value):
        return float(pq_index(value, p=self.p, q=self.q, mask=value != 0))

    def get_config(self):
        return {
            "p": self.p,
            "q": self.q,
            "scope": self.scope,
            "layers": self.layers,
            **super().get_config(),
        }
