"""How many weights jump between two codes, and how restless learned scales are."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_compress.qat._oscillations import new_oscillations, observe_codes, sign_flips
from keras_compress.qat._quantized_training import QuantizedTraining, share
from keras_compress.qat._targets import find_matrices, find_scales
from keras_reweight.core.validation import check_number


@keras.saving.register_keras_serializable(package="keras_compress")
class OscillationMonitor(QuantizedTraining):
    """Count the weights that go back and forth between two codes while a model trains.

    A weight oscillates in a step in which its code changes opposite to its last change. For each
    weight the frequency of such steps is averaged, `f <- f + momentum * (oscillates - f)`; weights
    with `f > threshold` are the oscillating ones. Use it to see whether a quantization-aware
    training needs freezing, dampening or annealing: at 2 and 3 bits shares of some percent at the
    end of a training spoil batch statistics and the last tenths of accuracy. It changes nothing.

    Each epoch's logs get `oscillating_weights` (share), `code_flips` (share of all codes that
    change in a step, averaged like `f`) and, where scales are learned, `scale_disorder` (share of
    steps in which the gradient of a scale changes its sign, see `gradient_disorder`, averaged like
    `f` and over all scales). `shares`, `disorders` and `frequencies` tell it for each variable.

    Codes are compared at the beginning of the steps, so it sees what other callbacks leave of an
    update, whatever the order of the callbacks. It cannot follow, and refuses, kernels that are
    folded with batch normalization and grids that are not trained, such as moving averages.

    Args:
        momentum: Float in `(0, 1]`, weight of the newest step in all averages. Defaults to `0.01`.
        threshold: Float in `[0, 1)`, frequency from which a weight counts as oscillating. Defaults
            to `0.005`.
        layers: Names, paths, `re.Pattern`, layers, predicates or a list of these, of
            quantization-aware layers; `None` for all. Defaults to `None`.
        name: String, unique among the callbacks of one `fit`. Defaults to `"oscillation_monitor"`.

    Returns:
        A `keras.callbacks.Callback` for `fit`.

    Raises:
        TypeError: If `momentum` or `threshold` is not a number.
        ValueError: If an argument is outside its range; in `fit`, before anything changes, if the
            model is not compiled or has no such quantized weights.

    Example:

    ```python
    import numpy as np
    import keras
    import keras_compress as kc

    x = np.random.default_rng(0).normal(size=(32, 4)).astype("float32")
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    quantized = kc.quantize_aware(model, weights=2)
    quantized.compile(keras.optimizers.SGD(0.1), "mse")
    monitor = kc.callbacks.OscillationMonitor()
    quantized.fit(x, x[:, :1], verbose=0, callbacks=[monitor])
    assert 0.0 <= monitor.shares[quantized.layers[0].layer.kernel.path] <= 1.0
    ```

    Reference:
        Nagel et al., "Overcoming Oscillations in Quantization-Aware Training", ICML 2022,
        arXiv 2203.11086, section 2.3 (frequency; 0.005 is the threshold of its tables); Jiang et
        al., arXiv 2412.05551 (disorder).

    Deviations:
        Disorder is averaged exponentially instead of over the last K steps. Averages that start
        from nothing, `code_flips` and `scale_disorder`, are divided by the weight they have seen.

    Cost:
        One quantization of each weight and seven bytes a weight in every step.
    """

    def __init__(
        self,
        momentum: float = 0.01,
        *,
        threshold: float = 0.005,
        layers: Any = None,
        name: str | None = None,
    ):
        check_number("momentum", momentum, exclusive_minimum=0.0, maximum=1.0)
        check_number("threshold", threshold, minimum=0.0, exclusive_maximum=1.0)
        super().__init__(layers=layers, name=name)
        self.momentum = momentum
        self.threshold = threshold

    @property
    def frequencies(self) -> dict[str, np.ndarray]:
        """Path of a matrix -> present or last known frequencies, float32, in its shape."""
        return self.remembered("frequency")

    @property
    def shares(self) -> dict[str, float]:
        """Path of a matrix -> share of oscillating weights."""
        return {path: share([f > self.threshold]) for path, f in self.frequencies.items()}

    @property
    def disorders(self) -> dict[str, np.ndarray]:
        """Path of a learned scale -> disorder of its gradients, float32, in its shape."""
        seen = self._weight_seen(self.get_state())
        return {path: value / seen for path, value in self.remembered("disorder").items()}

    def find_targets(self, model):
        matrices = find_matrices(model, self.layers, self.name)
        return matrices + find_scales(model, self.layers, self.name, required=False)

    def initial_state(self, target):
        if target.is_scale:
            shape = tuple(target.variable.shape)
            return {"sign": np.zeros(shape, "int8"), "disorder": np.zeros(shape, "float32")}
        return {**new_oscillations(target), "flips": np.zeros((), "float32")}

    def before_update(self, target, gradient, step):
        if target.is_scale:
            self._average(target, "disorder", sign_flips(target, gradient))
        else:
            codes = target.codes(ops.convert_to_tensor(target.variable))
            change = observe_codes(target, codes, self.momentum)
            self._average(target, "flips", ops.mean(ops.abs(change)))
        return gradient, None

    def _average(self, target, key, value):
        mean = ops.copy(target.value(key))
        target.state[key].assign(mean + self.momentum * (value - mean))

    def _weight_seen(self, state):
        # The first step has nothing to compare with.
        steps = max(int(state["step"]) - 1, 1) if "step" in state else 1
        return 1.0 - (1.0 - self.momentum) ** steps

    def measures(self):
        state = self.get_state()
        frequencies = self.frequencies
        sizes = {path: value.size for path, value in frequencies.items()}
        flips = self.remembered("flips")
        flipped = sum(float(flips[path]) * size for path, size in sizes.items())
        found = {
            "oscillating_weights": share(f > self.threshold for f in frequencies.values()),
            "code_flips": flipped / sum(sizes.values()) / self._weight_seen(state),
        }
        disorders = list(self.disorders.values())
        if disorders:
            found["scale_disorder"] = np.mean(np.concatenate([d.ravel() for d in disorders]))
        return found

    def get_config(self):
        return {"momentum": self.momentum, "threshold": self.threshold, **super().get_config()}
