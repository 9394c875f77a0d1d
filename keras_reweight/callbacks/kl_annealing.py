"""Growing weight of the divergence in a variational autoencoder."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_reweight.core.selection import select_layers
from keras_reweight.core.step_hooks import LossCall
from keras_reweight.core.training_callback import TrainingCallback
from keras_reweight.core.validation import check_choice, check_integer, check_number
from keras_reweight.layers.kl_regularizer import KLRegularizer

# Slope of the sigmoid: 0.0025 at the start, 0.9975 at the end.
_STEEPNESS = 12.0


@keras.saving.register_keras_serializable(package="keras_reweight")
class KLAnnealing(TrainingCallback):
    """Raises the weight of `KLRegularizer` layers during training, up to a cap.

    Use it so that a variational autoencoder learns to use its latent axes before the prior pulls
    them to zero; for ranking a cap well below one is better than the full bound. With the share
    `p = step / total_steps` of the anneal the weight is `min(maximum, r(p))`, where `r` rises from
    0 to 1: linearly, along a sigmoid, or again and again (`"cyclic"`: linearly over the first half
    of every `total_steps` steps, one in the second). Choose the cap as the weight with the best
    validation metric of a run with `maximum=1`. The model must be compiled with a loss.

    Args:
        total_steps: Integer >= 0, training steps of one rise to 1; `0` is `maximum` from the start.
        maximum: Float >= 0, the cap. Defaults to `0.2`.
        kind: `"linear"`, `"sigmoid"` or `"cyclic"`. Defaults to `"linear"`.
        layers: Which `KLRegularizer` layers: `None` for all, a name, pattern, predicate or list of
            these. Defaults to `None`.
        name: String, unique among the callbacks of one `fit`. Defaults to `"kl_annealing"`.

    Returns:
        A `keras.callbacks.Callback` for `fit`; the layers keep the last weight. Each epoch's logs
        get `<name>_weight`.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is out of its range; in `fit`, if `layers` selects no
            `KLRegularizer`.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    inputs = keras.Input((6,))
    latent = kr.layers.KLRegularizer(seed=0)(keras.layers.Dense(2 * 3)(inputs))
    model = keras.Model(inputs, keras.layers.Dense(6)(latent))
    model.compile("adam", kr.losses.MultinomialNLL())
    clicks = np.random.default_rng(0).integers(0, 2, (16, 6)).astype("float32")
    model.fit(clicks, clicks, verbose=0, callbacks=[kr.callbacks.KLAnnealing(200)])
    ```

    Reference:
        Liang et al., "Variational Autoencoders for Collaborative Filtering", WWW 2018,
        arXiv 1802.05814, section 2.2.2; Bowman et al., arXiv 1511.06349 (sigmoid); Fu et al.,
        "Cyclical Annealing Schedule", NAACL 2019, arXiv 1903.10145 (cyclic).

    Cost:
        A few operations on a scalar inside the step; nothing is copied between host and device.
    """

    def __init__(
        self,
        total_steps: int,
        *,
        maximum: float = 0.2,
        kind: str = "linear",
        layers: Any = None,
        name: str | None = None,
    ):
        check_integer("total_steps", total_steps, minimum=0)
        check_number("maximum", maximum, minimum=0.0)
        check_choice("kind", kind, ("linear", "sigmoid", "cyclic"))
        super().__init__(name=name)
        self.total_steps = total_steps
        self.maximum = maximum
        self.kind = kind
        self.layers = layers
        self._layers: list[KLRegularizer] = []

    def value(self, step: Any):
        """The weight at a step, a float32 tensor of shape `()`."""
        step = ops.cast(step, "float32")
        if self.total_steps == 0:
            return ops.full_like(step, self.maximum)
        share = step / float(self.total_steps)
        if self.kind == "sigmoid":
            rise = ops.sigmoid(_STEEPNESS * (share - 0.5))
        elif self.kind == "cyclic":
            rise = 2.0 * (share - ops.floor(share))
        else:
            rise = share
        # A cap above one only matters for the ends of `rise`.
        return ops.minimum(ops.minimum(rise, 1.0), self.maximum)

    def state_spec(self):
        return {"step": np.zeros((), "int32")}

    def on_attach(self, model):
        self._layers = select_layers(model, self.layers, accept=_why_not).touched
        self._write(0)

    def on_detach(self, model):
        self._layers = []

    def on_state_set(self):
        self._write(int(self.carrier.read()["step"]))

    def _write(self, step):
        for layer in self._layers:
            layer.kl_weight.assign(self.value(step))

    def weigh(self, call: LossCall):
        """Runs inside the compiled step, after the forward pass: sets the next step's weight."""
        if call.index == 0:
            step = self.carrier.value("step") + 1
            self.carrier["step"].assign(step)
            self._write(step)
        return None

    def on_epoch_end(self, epoch, logs=None):
        self.model  # noqa: B018 - on JAX this brings the running state back into the variables
        if logs is not None:
            weight = ops.convert_to_numpy(self._layers[0].kl_weight)
            logs[f"{self.name}_weight"] = float(weight)

    def get_config(self) -> dict:
        return {
            "total_steps": self.total_steps,
            "maximum": self.maximum,
            "kind": self.kind,
            "layers": self.layers,
            "name": self.name,
        }


def _why_not(layer):
    return None if isinstance(layer, KLRegularizer) else "not a KLRegularizer"
