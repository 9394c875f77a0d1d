"""Learning rates of layers that follow how well trained they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_compress.pruning.layer_alphas import variable_alphas
from keras_compress.pruning.prunable_weights import find_prunable_weights
from keras_reweight.core.kernel_axes import kernel_matrices
from keras_reweight.core.selection import leaf_layers
from keras_reweight.core.training_callback import TrainingCallback
from keras_reweight.core.update_scales import UpdateScales
from keras_reweight.core.validation import (
    check_boolean,
    check_choice,
    check_integer,
    check_number,
)

_NORMALIZATION = (keras.layers.BatchNormalization, keras.layers.LayerNormalization)


@keras.saving.register_keras_serializable(package="keras_compress")
class TempBalance(TrainingCallback):
    """Larger steps for layers that are trained too little, smaller ones for the others.

    The spectrum of a well trained kernel has a heavy tail, a small exponent `alpha`. Before every
    epoch the exponents of the layers are measured, and each layer learns with the learning rate
    times a factor between `ratio[0]` (smallest alpha) and `ratio[1]` (largest), linear in between.
    A good partner of pruning to high sparsities, after which the layers are differently well off.
    The update is scaled, `w <- old + factor * (new - old)`, which is a learning rate of its own
    under any optimizer, weight decay included. Normalization that follows a layer goes with it.

    Args:
        ratio: Pair of floats, `0 < ratio[0] <= ratio[1]`. Defaults to `(0.5, 1.5)`.
        method: How the exponents are measured, `"farms"` (comparable between layers of different
            shapes) or `"hill"`, see `layer_alphas`. Defaults to `"farms"`.
        every: Integer >= 1, epochs between two measurements. Defaults to `1`.
        skip_ends: Boolean, whether the first and the last layer keep their learning rate. Defaults
            to `True`.
        min_eigenvalues: Integer >= 1; kernels with fewer keep their learning rate, because the
            exponent of a few numbers is noise. Defaults to `50`.
        layers: Layer names, paths, `re.Pattern`, layers, predicates or a list of these; `None`
            takes all kernels that are trained.
        name: String, unique among the callbacks of one `fit`. Defaults to `"temp_balance"`.

    Returns:
        A `keras.callbacks.Callback` for `fit`; `factors` is a dict from the path of a kernel to its
        present factor.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If an argument is outside its range; in `fit`, before anything changes, if the
            model is not compiled or no layer is left to balance.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_compress as kc

    layers = [keras.layers.Dense(units) for units in (12, 12, 12, 1)]
    model = keras.Sequential([keras.Input((8,)), *layers])
    model.compile("adam", "mse")
    x = np.random.default_rng(0).normal(size=(32, 8)).astype("float32")
    balance = kc.callbacks.TempBalance(min_eigenvalues=8)
    model.fit(x, x[:, :1], verbose=0, callbacks=[balance])
    assert sorted(balance.factors.values()) == [0.5, 1.5]
    ```

    Reference:
        Zhou et al., "Temperature Balancing, Layer-wise Weight Analysis, and Neural Network
        Training", NeurIPS 2023, arXiv 2312.00359; github.com/YefanZhou/TempBalance. FARMS: Hu et
        al., ICML 2025, arXiv 2506.06280.

    Deviations:
        Of the ways to map exponents to learning rates only the linear one, which the papers use.
        With `use_ema` the moving averages follow the updates before they are scaled.

    Cost:
        Singular values of all kernels on the host every `every` epochs; a copy of the balanced
        weights in every step.
    """

    def __init__(
        self,
        ratio: Sequence[float] = (0.5, 1.5),
        *,
        method: str = "farms",
        every: int = 1,
        skip_ends: bool = True,
        min_eigenvalues: int = 50,
        layers: Any = None,
        name: str | None = None,
    ):
        _check_ratio(ratio)
        check_choice("method", method, ["farms", "hill"])
        check_integer("every", every, minimum=1)
        check_boolean("skip_ends", skip_ends)
        check_integer("min_eigenvalues", min_eigenvalues, minimum=1)
        super().__init__(name=name)
        self.ratio = ratio
        self.method = method
        self.every = every
        self.skip_ends = skip_ends
        self.min_eigenvalues = min_eigenvalues
        self.layers = layers
        self._scales: UpdateScales | None = None
        self._kernels: list[keras.Variable] = []
        self._owners: list[keras.layers.Layer] = []
        self._paths: list[str] = []

    @property
    def factors(self) -> dict[str, float]:
        """Present or last known factor of each kernel."""
        values = self.get_state().get("factors", np.zeros(0))
        return {path: float(value) for path, value in zip(self._paths, values, strict=False)}

    def on_attach(self, model):
        weights = find_prunable_weights(model, self.layers, caller=self.name)
        triples = [
            triple
            for triple in zip(weights.variables, weights.layers, weights.paths, strict=True)
            if triple[0].name != "embeddings" and triple[1] is not None
        ]
        if self.skip_ends:
            triples = triples[1:-1]
        triples = [
            triple for triple in triples if _num_eigenvalues(*triple[:2]) >= self.min_eigenvalues
        ]
        if not triples:
            raise ValueError(
                f"Callback {self.name!r}: no layer of model {model.name!r} is left to balance with "
                f"`skip_ends`={self.skip_ends}, `min_eigenvalues`={self.min_eigenvalues} and "
                f"`layers`={self.layers!r}."
            )
        kernels, owners, paths = zip(*triples, strict=True)
        self._kernels, self._owners, self._paths = list(kernels), list(owners), list(paths)
        groups = [
            [v for layer in _with_norms(model, owner) for v in layer.trainable_variables]
            for owner in self._owners
        ]
        self._scales = UpdateScales(model, groups, name=f"{self.name}_factors")

    def on_detach(self, model):
        scales, self._scales = self._scales, None
        self._kernels, self._owners = [], []
        if scales is not None:
            scales.remove()

    def host_state(self):
        if self._scales is None:
            return dict(self._last_state)
        return {"factors": self._scales.read()}

    def set_host_state(self, state):
        if set(state) != {"factors"} or self._scales is None:
            raise ValueError(f"Callback {self.name!r}: the state must hold 'factors', {state!r}.")
        self._scales.write(state["factors"])

    def on_epoch_begin(self, epoch, logs=None):
        if self._scales is None or epoch % self.every:
            return
        model = self.model  # brings the weights of a running JAX epoch back into the variables
        assert model is not None
        alphas = np.asarray(variable_alphas(self._kernels, self._owners, method=self.method))
        self._scales.write(_factors(alphas, self.ratio))

    def __deepcopy__(self, memo):
        live = self._scales, self._kernels, self._owners
        self._scales, self._kernels, self._owners = None, [], []
        try:
            return super().__deepcopy__(memo)
        finally:
            self._scales, self._kernels, self._owners = live

    def get_config(self):
        return {
            "ratio": self.ratio,
            "method": self.method,
            "every": self.every,
            "skip_ends": self.skip_ends,
            "min_eigenvalues": self.min_eigenvalues,
            "layers": self.layers,
            **super().get_config(),
        }


def _check_ratio(ratio):
    if isinstance(ratio, str) or not isinstance(ratio, (list, tuple)):
        raise TypeError(f"`ratio` must be a pair of numbers, got {ratio!r}.")
    if len(ratio) != 2:
        raise ValueError(f"`ratio` must be a pair of numbers, got {ratio!r}.")
    check_number("ratio[0]", ratio[0], exclusive_minimum=0.0)
    check_number("ratio[1]", ratio[1], exclusive_minimum=0.0)
    if ratio[0] > ratio[1]:
        raise ValueError(f"`ratio` must rise, got {ratio!r}.")


def _factors(alphas, ratio):
    """Linear from the smallest alpha to the largest; one where there is none or all are equal."""
    factors = np.ones(len(alphas))
    known = np.isfinite(alphas)
    if known.any() and np.ptp(alphas[known]) > 0.0:
        ends = [alphas[known].min(), alphas[known].max()]
        factors[known] = np.interp(alphas[known], ends, ratio)
    return factors.astype("float32")


def _num_eigenvalues(variable, layer):
    shape = kernel_matrices(np.empty(tuple(variable.shape)), layer).shape
    return shape[0] * min(shape[1:])


def _with_norms(model, owner):
    """A layer and the normalization directly behind it."""
    layers = [layer for layer in leaf_layers(model) if layer.weights]
    after = [number for number, layer in enumerate(layers) if layer is owner]
    found = [owner]
    if after and after[0] + 1 < len(layers):
        follower = layers[after[0] + 1]
        found += [follower] if isinstance(follower, _NORMALIZATION) else []
    return found
