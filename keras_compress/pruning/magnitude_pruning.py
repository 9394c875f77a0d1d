"""Global magnitude pruning, one-shot or gradual."""

from __future__ import annotations

from typing import Any

import keras

from keras_compress.pruning.criteria.magnitude import Magnitude
from keras_compress.pruning.magnitude_allocation import magnitude_allocation
from keras_compress.pruning.patterns.pattern import Pattern
from keras_compress.pruning.pruning import Pruning
from keras_compress.pruning.sparsity_rule import SparsityRule
from keras_reweight.core.schedules import ScheduleLike


@keras.saving.register_keras_serializable(package="keras_compress")
class MagnitudePruning(Pruning):
    """Zero the weights of smallest absolute value while a model trains, and keep them at zero.

    The first pruning method to try: no data, no extra passes, and with `scope="global"` as accurate
    as far more complex ones. A float prunes once at `begin_step`, a schedule gradually (kinder to
    the model at 90 % and more): the masks are updated before step `begin_step`, every `frequency`
    steps from there and at the schedule's `end_step`, and then hold inside the compiled step under
    any Keras optimizer. Exactly `round(sparsity * n)` of the `n` weights are zero.

    Steps are batches, counted from the first `fit` with this callback; a further `fit` of the same
    model goes on counting, and so does a run resumed by `keras.callbacks.BackupAndRestore` or
    `set_state`. Each epoch's logs get `sparsity`. At the end of `fit` the model is plain again,
    with zeros in its kernels. Its file gets smaller only when it is compressed, and dense layers
    get no faster: for that, prune whole channels.

    Args:
        sparsity: Float in `[0, 1)`, callable of the step, `Schedule`, or `SparsityRule`.
        scope: `"global"` ranks all weights together, `"layer"` prunes the same share of each
            variable. Defaults to `"global"`.
        min_keep: Float in `[0, 1)`, share of all prunable weights that must survive in each
            variable, at least one if above 0; smaller variables stay dense. Defaults to `0.0005`.
        pattern: A `Pattern`, which weights go together. Defaults to single weights.
        begin_step: Integer >= 0, first step with masks. Defaults to `0`.
        frequency: Integer >= 1, steps between two updates. Defaults to `100`.
        layers: Layer names, paths, `re.Pattern`, layers, predicates or a list of these; `None`
            takes all kernels and embeddings that are trained, but depthwise kernels, whose layers
            must be named.
        name: String, unique among the callbacks of one `fit`. Defaults to `"magnitude_pruning"`.

    Returns:
        A `keras.callbacks.Callback` for `fit`; `report` and `masks` tell what it does.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If an argument is outside its range; in `fit`, before anything changes, if the
            model is not compiled (or, on TensorFlow, not built), nothing can be pruned, or
            `min_keep` makes the sparsity impossible, and at the step in question if a schedule
            leaves `[0, 1)`.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_compress as kc

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(16), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    x = np.random.default_rng(0).normal(size=(32, 8)).astype("float32")
    pruning = kc.callbacks.MagnitudePruning(
        kc.schedules.PolynomialDecay(0.0, 0.9, begin_step=0, end_step=6), frequency=2
    )
    model.fit(x, x[:, :1], batch_size=8, epochs=2, verbose=0, callbacks=[pruning])
    assert abs(kc.sparsity_report(model).sparsity - 0.9) < 0.01
    ```

    Reference:
        Gupta et al., "Is Complexity Required for Neural Network Pruning? A Case Study on Global
        Magnitude Pruning", arXiv 2209.14624, official code github.com/manasgupta-1/GlobalMP; the
        gradual schedule is equation 1 of Zhu and Gupta, arXiv 1710.01878.

    Deviations:
        Ties are broken by index instead of kept, so that the sparsity is exact; `min_keep` is a
        share where the official code has percent. The official repository has no code for the
        gradual variant. Gradients of pruned weights still enter momentum and global gradient
        norms. Callbacks that put older weights back (`EarlyStopping(restore_best_weights=True)`)
        put back the sparsity of their time too: monitor from the end of the schedule on.

    Cost:
        Masks take one byte a weight on the device and one pass over the weights a step; between
        updates nothing is read back from the device. An update ranks all weights on the host, with
        about three times their memory for a moment.
    """

    def __init__(
        self,
        sparsity: ScheduleLike | SparsityRule,
        *,
        scope: str = "global",
        min_keep: float = 0.0005,
        pattern: Pattern | None = None,
        begin_step: int = 0,
        frequency: int = 100,
        layers: Any = None,
        name: str | None = None,
    ):
        super().__init__(
            sparsity,
            criterion=Magnitude(),
            allocation=magnitude_allocation(scope, min_keep),
            pattern=pattern,
            begin_step=begin_step,
            frequency=frequency,
            layers=layers,
            name=name,
        )
        self.scope = scope
        self.min_keep = min_keep

    def get_config(self):
        return {
            "sparsity": self._sparsity_config(),
            "scope": self.scope,
            "min_keep": self.min_keep,
            "pattern": keras.saving.serialize_keras_object(self.pattern),
            "begin_step": self.begin_step,
            "frequency": self.frequency,
            "layers": self.layers,
            "name": self.name,
        }
