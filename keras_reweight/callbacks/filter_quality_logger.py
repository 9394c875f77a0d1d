"""The quality of the filters of convolutions, epoch by epoch."""

from __future__ import annotations

from typing import Any

import keras

from keras_reweight.analysis.filter_quality import filter_quality
from keras_reweight.core.training_callback import TrainingCallback
from keras_reweight.core.validation import check_choice, check_number

_SCOPES = ("model", "layer")
_NAMES = ("sparsity", "variance_entropy", "normalized_entropy", "orthogonality")


@keras.saving.register_keras_serializable(package="keras_reweight")
class FilterQualityLogger(TrainingCallback):
    """Log the quality of the filters of convolutions at the end of every epoch.

    Use it to see while a network trains whether its convolutions learn: filters begin as noise
    (normalized entropy about 1) and become more alike; a value that keeps falling towards 0, or a
    growing share of sparse filters, says that the network is larger than what it learns needs.
    Needs no data and changes nothing. Logs get `filters/<number>`, the mean over the convolutions,
    with `scope="layer"` also `filters/<path of the layer>/<number>`.

    Args:
        threshold: Float in `[0, 1)`, as for `filter_quality`. Defaults to `0.01`.
        scope: `"model"`, means only, or `"layer"`, each convolution as well. Defaults to `"model"`.
        layers: Layer names, paths, `re.Pattern`, layers, predicates or a list of these; `None` for
            all convolutions. Defaults to `None`.
        name: String, unique among the callbacks of one `fit`. Defaults to
            `"filter_quality_logger"`.

    Returns:
        A `keras.callbacks.Callback` for `fit`.

    Raises:
        TypeError: If `threshold` is no number.
        ValueError: If `threshold` or `scope` is outside its range; in `fit`, if a layer is unknown
            or the model has no convolution of more than one place.

    Example:

    ```python
    import keras
    import keras_reweight as kr

    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(16, 3)])
    logger = kr.callbacks.FilterQualityLogger()  # model.fit(..., callbacks=[logger])
    assert "filters/normalized_entropy" in logger.measure(model)
    ```

    Reference:
        Gavrikov and Keuper, "CNN Filter DB: An Empirical Investigation of Trained Convolutional
        Filters", CVPR 2022, arXiv 2203.15331; github.com/paulgavrikov/torchconvquality.

    Deviations:
        Those of `filter_quality`.

    Cost:
        The kernels of convolutions are read from the device once an epoch.
    """

    def __init__(
        self,
        threshold: float = 0.01,
        *,
        scope: str = "model",
        layers: Any = None,
        name: str | None = None,
    ):
        check_number("threshold", threshold, minimum=0.0, exclusive_maximum=1.0)
        check_choice("scope", scope, _SCOPES)
        super().__init__(name=name)
        self.threshold = threshold
        self.scope = scope
        self.layers = layers

    def on_attach(self, model):
        if model.built:
            self.measure(model)

    def on_epoch_end(self, epoch, logs=None):
        if logs is not None:
            logs.update(self.measure(self.model))

    def measure(self, model: keras.Model) -> dict[str, float]:
        """What is logged, for the present weights of a model."""
        report = filter_quality(model, layers=self.layers, threshold=self.threshold)
        names = [
            name for name in _NAMES if any(getattr(row, name) is not None for row in report.layers)
        ]
        found = {f"filters/{name}": report.mean(name) for name in names}
        if self.scope == "layer":
            each = report.to_dict()
            found.update({f"filters/{key}": value for key, value in each.items()})
        return found

    def get_config(self):
        return {
            "threshold": self.threshold,
            "scope": self.scope,
            "layers": self.layers,
            **super().get_config(),
        }
