"""A training signal that is stronger after progress on several objectives at once."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from keras_reweight.core.step_hooks import LossCall
from keras_reweight.core.training_callback import TrainingCallback
from keras_reweight.core.validation import check_number
from keras_reweight.functional.hypervolume import hypervolume, signs_of, undominated


@keras.saving.register_keras_serializable(package="keras_reweight")
class HypervolumeWeight(TrainingCallback):
    """Scales the losses of an epoch by what the epoch before added to the hypervolume.

    After each epoch its metrics are a point. With `d`, by how much the point enlarges the
    hypervolume of those before it, all losses of the next epoch are multiplied by
    `minimum + gain * tanh(d)`: little after an epoch without a new trade-off, more after one that
    found a new one. The reference point of the volume is the performance at the beginning. Use it
    with an optimizer whose step grows with the gradient (SGD), and metrics between 0 and 1.

    Not for Adam and its kin, which divide a factor out that stays for long; not for metrics of
    other units, whose volume `tanh` would cut off.

    Args:
        metrics: String or list of strings, names in the logs of an epoch, such as
            `["val_main_accuracy", "val_side_accuracy"]`.
        modes: `"max"`, `"min"`, or a list of these, one a metric. Defaults to `"max"`.
        reference: List of floats, one a metric: the initial performance, as from `evaluate`.
            Defaults to `None`, the values after the first epoch, which then has no point.
        minimum: Float >= 0, the factor after an epoch without progress. Defaults to `0.5`.
        gain: Float > 0, what unlimited progress adds. Defaults to `1.5`.
        name: String, unique among the callbacks of one `fit`. Defaults to `"hypervolume_weight"`.

    Returns:
        A `keras.callbacks.Callback` for `fit`. Each epoch's logs get `<name>_factor`, which the
        next epoch is trained with, and `<name>_volume`. An epoch without validation changes
        nothing; one with a metric that is not finite counts as no progress.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If `metrics` is empty, `modes` or `reference` does not match it, or a number is
            out of its range; in `fit`, if the logs lack a metric.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    x = np.random.default_rng(0).normal(size=(32, 4)).astype("float32")
    y = (x[:, :1] > 0.0).astype("float32")
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, activation="sigmoid")])
    model.compile("sgd", "binary_crossentropy", metrics=["accuracy", "AUC"])
    callback = kr.callbacks.HypervolumeWeight(["val_accuracy", "val_AUC"], reference=[0.5, 0.5])
    model.fit(x, y, validation_data=(x, y), epochs=2, verbose=0, callbacks=[callback])
    ```

    Reference:
        Lu et al., "Learning to Optimize Multi-Objective Alignment Through Dynamic Reward
        Weighting", arXiv 2509.11452, the hypervolume-guided weights.

    Deviations:
        The paper scales the rewards of reinforcement learning after every step; here all losses
        are scaled after every epoch. Dominated points are forgotten, which changes no volume.

    Cost:
        One factor inside the step; the hypervolume on the host, once an epoch.
    """

    def __init__(
        self,
        metrics: str | Sequence[str],
        *,
        modes: str | Sequence[str] = "max",
        reference: Sequence[float] | None = None,
        minimum: float = 0.5,
        gain: float = 1.5,
        name: str | None = None,
    ):
        names = [metrics] if isinstance(metrics, str) else metrics
        if not isinstance(names, (list, tuple)) or any(not isinstance(m, str) for m in names):
            raise TypeError(f"`metrics` must be a string or a list of strings, got {metrics!r}.")
        if not names:
            raise ValueError(f"`metrics` must name at least one metric, got {metrics!r}.")
        if reference is not None:
            if not isinstance(reference, (list, tuple)):
                raise TypeError(f"`reference` must be a list of floats or None, got {reference!r}.")
            for value in reference:
                check_number("reference", value)
            if len(reference) != len(names):
                raise ValueError(
                    f"`reference`={reference!r} must have one entry a metric, {len(names)}."
                )
        check_number("minimum", minimum, minimum=0.0)
        check_number("gain", gain, exclusive_minimum=0.0)
        signs_of(modes, len(names))
        super().__init__(name=name)
        self.metrics = metrics
        self.modes = modes
        self.reference = reference
        self.minimum = minimum
        self.gain = gain
        self._names = list(names)
        self._begin()

    def _begin(self):
        count = len(self._names)
        start = np.full(count, np.nan) if self.reference is None else self.reference
        self._start = np.array(start, "float64")
        self._points = np.zeros((0, count))
        self._seen = False

    def state_spec(self):
        return {"factor": np.ones((), "float32")}

    def on_attach(self, model):
        self._begin()

    def host_state(self):
        return {"start": self._start.copy(), "points": self._points.copy()}

    def set_host_state(self, state):
        self._start = np.array(state["start"], "float64")
        self._points = np.array(state["points"], "float64").reshape(-1, len(self._names))

    def weigh(self, call: LossCall):
        """Runs inside the compiled step, once for each compiled loss."""
        return self.carrier.value("factor") * ops.ones_like(call.losses)

    def on_epoch_end(self, epoch, logs=None):
        self.model  # noqa: B018 - on JAX this brings the running state back into the variables
        logs = {} if logs is None else logs
        point = self._point(logs)
        if point is not None:
            self._seen = True
            factor = np.float32(self._factor(point))
            self.carrier.write({**self.carrier.read(), "factor": factor})
        logs[f"{self.name}_factor"] = float(self.carrier.read()["factor"])
        logs[f"{self.name}_volume"] = self._volume(self._points)

    def _point(self, logs):
        missing = [name for name in self._names if name not in logs]
        if not missing:
            return np.array([float(logs[name]) for name in self._names])
        validated = any(name.startswith("val_") for name in logs)
        if validated or not all(name.startswith("val_") for name in missing):
            raise ValueError(f"`metrics`: the logs lack {missing}; they have {sorted(logs)}.")
        return None

    def _factor(self, point):
        """The factor after this point, which is remembered if it is progress."""
        if np.isnan(self._start).any():
            if np.isfinite(point).all():
                self._start = point
            return 1.0
        if not np.isfinite(point).all():
            return self.minimum
        points = np.concatenate([self._points, point[None]])
        progress = self._volume(points) - self._volume(self._points)
        if progress > 0.0:
            signs = signs_of(self.modes, len(point))
            self._points = signs * undominated(signs * points)
        return self.minimum + self.gain * np.tanh(max(progress, 0.0))

    def _volume(self, points):
        if np.isnan(self._start).any():
            return 0.0
        return hypervolume(points, self._start, modes=self.modes)

    def on_train_end(self, logs=None):
        super().on_train_end(logs)
        if not self._seen:
            warnings.warn(
                f"{self.name}: no epoch had the metrics {self._names}, so nothing was scaled. Pass "
                "`validation_data` to `fit`.",
                stacklevel=2,
            )

    def get_config(self) -> dict:
        return {
            "metrics": self.metrics,
            "modes": self.modes,
            "reference": self.reference,
            "minimum": self.minimum,
            "gain": self.gain,
            "name": self.name,
        }
