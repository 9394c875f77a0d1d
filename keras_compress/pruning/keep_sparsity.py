"""Fine-tune a pruned model without losing its zeros."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from keras_compress.pruning.masked_training import MaskedTraining
from keras_compress.pruning.prunable_weights import find_prunable_weights


@keras.saving.register_keras_serializable(package="keras_compress")
class KeepSparsity(MaskedTraining):
    """Keep every weight that is exactly zero now at zero while a model trains.

    For fine-tuning after `prune_magnitude`, for a model that was pruned elsewhere or loaded from a
    file, and for every `fit` after the one that pruned it.

    Args:
        layers: Layer names, paths, `re.Pattern`, layers, predicates or a list of these; `None`
            takes all kernels and embeddings that are trained, depthwise kernels if they have zeros.
        name: String, unique among the callbacks of one `fit`. Defaults to `"keep_sparsity"`.

    Returns:
        A `keras.callbacks.Callback` for `fit`; each epoch's logs get `sparsity`.

    Raises:
        ValueError: In `fit`, before anything changes, if the model is not compiled, a layer is
            unknown, or none of the chosen weights is zero.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_compress as kc

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(16), keras.layers.Dense(1)])
    kc.prune_magnitude(model, 0.75)
    model.compile("adam", "mse")
    x = np.random.default_rng(0).normal(size=(32, 8)).astype("float32")
    model.fit(x, x[:, :1], verbose=0, callbacks=[kc.callbacks.KeepSparsity()])
    assert kc.sparsity_report(model).sparsity == 0.75
    ```

    Reference:
        None; the fixed mask of fine-tuning after one-shot pruning.

    Cost:
        One byte a weight on the device.
    """

    def __init__(self, layers=None, *, name: str | None = None):
        super().__init__(layers=layers, name=name)

    def find_weights(self, model):
        return find_prunable_weights(model, self.layers, sparse_depthwise=True, caller=self.name)

    def check_weights(self, weights):
        if all(mask.all() for mask in _nonzero(weights.variables)):
            raise ValueError(
                f"`layers`={self.layers!r}: none of the weights {weights.paths} is zero, so there "
                "is no sparsity to keep. Prune first, for example with `prune_magnitude`."
            )

    def on_attach(self, model):
        super().on_attach(model)
        self.mask_set.write(_nonzero(self._weights.variables))


def _nonzero(variables):
    return [
        np.asarray(ops.convert_to_numpy(ops.convert_to_tensor(variable))) != 0
        for variable in variables
    ]
