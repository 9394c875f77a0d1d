"""How much to prune, told by the weights."""

from __future__ import annotations

import math
from collections.abc import Sequence

import keras
import numpy as np

from keras_compress.pruning.pq_index import check_exponents, pq_index
from keras_compress.pruning.sparsity_rule import SparsityRule
from keras_reweight.core.validation import check_choice, check_number

_SCOPES = ("neuron", "layer", "global")


@keras.saving.register_keras_serializable(package="keras_compress")
class SAP(SparsityRule):
    """Sparsity-informed adaptive pruning: the more unequal the weights, the more may go.

    From the PQ index `I` of the `d` survivors follows how many of them must stay,
    `m = d * (1 + eta)**(q / (p - q)) * (1 - I)**(p * q / (q - p))`, and the share
    `clip(gamma * (1 - m / d), 0, beta)` of the survivors is pruned next. It starts fast, slows down
    by itself when the magnitudes level out, and needs no target: for when nobody knows how much a
    model can lose. Prune between trainings of some epochs, not every few steps, since the index
    tells something only of weights that have settled.

    Args:
        p: Float > 0, exponent of the PQ index. Defaults to `0.5`.
        q: Float > `p`, its other exponent. Defaults to `1.0`.
        eta: Float > -1, what the bound is relaxed by; more prunes more. Defaults to `0.0`.
        gamma: Float > 0, scale of the pruned share. Defaults to `1.0`.
        beta: Float in `(0, 1)`, largest share of the survivors that goes at once. Defaults to
            `0.9`.
        scope: `"global"` takes the index of all weights together and lets the allocation spread
            the total; `"layer"` decides for each variable and `"neuron"` for each output unit,
            and the allocation has no say. These two count single weights: not for patterns of
            blocks or gates. Defaults to `"global"`.

    Returns:
        A `SparsityRule` for the argument `sparsity` of `Pruning`.

    Raises:
        TypeError: If an argument is no number.
        ValueError: If an argument is outside its range; in `targets`, if a weight is NaN.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_compress as kc

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(16), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    x = np.random.default_rng(0).normal(size=(32, 8)).astype("float32")
    pruning = kc.callbacks.Pruning(kc.pruning.SAP(gamma=1.2), frequency=2)
    model.fit(x, x[:, :1], batch_size=8, epochs=2, verbose=0, callbacks=[pruning])
    assert 0.1 < kc.sparsity_report(model).sparsity < 0.9
    ```

    Reference:
        Diao et al., "Pruning Deep Neural Networks from a Sparsity Perspective", ICLR 2023,
        arXiv 2302.05601, theorem 2 and algorithm 1; official code
        github.com/diaoenmao/Pruning-Deep-Neural-Networks-from-a-Sparsity-Perspective.

    Deviations:
        Of tied weights exactly the wanted number goes, by index. Units and layers that are all
        zero have index 0. The paper rewinds the weights before every round; in a single `fit` they
        go on training.
    """

    def __init__(
        self,
        *,
        p: float = 0.5,
        q: float = 1.0,
        eta: float = 0.0,
        gamma: float = 1.0,
        beta: float = 0.9,
        scope: str = "global",
    ):
        check_exponents(p, q)
        check_number("eta", eta, exclusive_minimum=-1.0)
        check_number("gamma", gamma, exclusive_minimum=0.0)
        check_number("beta", beta, exclusive_minimum=0.0, exclusive_maximum=1.0)
        check_choice("scope", scope, _SCOPES)
        self.p = p
        self.q = q
        self.eta = eta
        self.gamma = gamma
        self.beta = beta
        self.scope = scope

    def targets(
        self, values: Sequence[np.ndarray], masks: Sequence[np.ndarray]
    ) -> float | list[int] | list[np.ndarray]:
        if self.scope == "global":
            value = np.concatenate([np.ravel(value) for value in values])
            mask = np.concatenate([np.ravel(mask) for mask in masks])
            return float(self._pruned(value, mask, None) / mask.size)
        pairs = zip(values, masks, strict=True)
        if self.scope == "layer":
            return [int(self._pruned(value, mask, None)) for value, mask in pairs]
        return [
            self._pruned(value.reshape(-1, value.shape[-1]), mask.reshape(-1, mask.shape[-1]), 0)
            for value, mask in pairs
        ]

    def retained(self, survivors: np.ndarray, index: np.ndarray) -> np.ndarray:
        """The number of survivors that must stay, by the bound of the paper."""
        bound = survivors * (1.0 + self.eta) ** (self.q / (self.p - self.q))
        bound = bound * (1.0 - index) ** (self.p * self.q / (self.q - self.p))
        # A bound of 1 must not become 2 through rounding of the index.
        return np.ceil(bound - 1e-9)

    def _pruned(self, value, mask, axis):
        """How many entries are pruned after the next update."""
        survivors = mask.sum(axis=axis)
        index = np.asarray(pq_index(value, p=self.p, q=self.q, mask=mask, axis=axis))
        left = np.maximum(survivors, 1)
        share = np.clip(self.gamma * (1.0 - self.retained(left, index) / left), 0.0, self.beta)
        more = np.floor(survivors * share + 1e-9).astype("int64")
        return math.prod(mask.shape) // math.prod(survivors.shape) - survivors + more

    def get_config(self) -> dict:
        return {
            "p": self.p,
            "q": self.q,
            "eta": self.eta,
            "gamma": self.gamma,
            "beta": self.beta,
            "scope": self.scope,
        }
