"""Weight aligning at the end of training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_reweight.core.validation import check_boolean
from keras_reweight.editing._class_columns import check_ids
from keras_reweight.editing.align_weights import align_weights
from keras_reweight.editing.alignment_ratio import alignment_ratio
from keras_reweight.signatures.signature_patcher import SignaturePatcher


@keras.saving.register_keras_serializable(package="keras_reweight")
class WeightAligning(keras.callbacks.Callback):
    """Align the classifier's columns of new classes with those of old ones when training ends.

    `align_weights` as a callback, for pipelines that save or evaluate the model right after `fit`:
    put it first in the list. Validation inside `fit` still sees the weights before. Once for each
    step of class-incremental training, with the classes known before as `old`.

    Args:
        old: List of integers, the classes learned in earlier steps.
        new: List of integers, the classes learned in this training. Defaults to `None`: all others.
        layer: String, name or path of the classifier layer. Defaults to `None`: the last layer
            with weights.
        only_shrink: Boolean, whether to leave columns alone that would get longer. Defaults to
            `True`.

    Returns:
        A `keras.callbacks.Callback` for `fit`; `ratio` is the `alignment_ratio` found at the end,
        `None` before.

    Raises:
        TypeError: If `old` or `new` are no class ids, `layer` no string or `only_shrink` no
            boolean.
        ValueError: At the end of training, if a class is named twice or does not exist, the layer
            is unknown or has no single kernel, or patches are on the model.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4, use_bias=False)])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    x, y = np.random.default_rng(0).normal(size=(16, 4)), np.arange(16) % 4
    aligning = kr.callbacks.WeightAligning(old=[0, 1])
    model.fit(x, y, verbose=0, callbacks=[aligning])
    assert aligning.ratio > 0
    ```

    Reference:
        Zhao et al., "Maintaining Discrimination and Fairness in Class Incremental Learning", CVPR
        2020, arXiv 1911.07053, equations 6 to 8.

    Cost:
        Nothing during training.
    """

    def __init__(
        self,
        old: Sequence[int],
        *,
        new: Sequence[int] | None = None,
        layer: str | None = None,
        only_shrink: bool = True,
    ):
        super().__init__()
        check_ids("old", old)
        if new is not None:
            check_ids("new", new)
        if not (layer is None or isinstance(layer, str)):
            raise TypeError(f"`layer` must be the name of a layer or None, got {layer!r}.")
        check_boolean("only_shrink", only_shrink)
        self.old = old
        self.new = new
        self.layer = layer
        self.only_shrink = only_shrink
        self.ratio: float | None = None

    def on_train_end(self, logs=None):
        model = self.model
        chosen: dict[str, Any] = {"new": self.new, "layer": self.layer}
        self.ratio = alignment_ratio(model, self.old, **chosen)
        patch = align_weights(model, self.old, **chosen, only_shrink=self.only_shrink)
        patcher = SignaturePatcher(model)
        patcher.apply(patch)
        patcher.commit()

    def get_config(self) -> dict:
        return {
            "old": np.asarray(self.old, "int64").tolist(),
            "new": None if self.new is None else np.asarray(self.new, "int64").tolist(),
            "layer": self.layer,
            "only_shrink": self.only_shrink,
        }

    @classmethod
    def from_config(cls, config: dict):
        return cls(**config)
