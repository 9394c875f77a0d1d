"""Sample weights that follow EL2N scores during training."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_reweight.core.step_hooks import LossCall
from keras_reweight.core.training_callback import TrainingCallback
from keras_reweight.core.validation import check_boolean, check_integer, check_number
from keras_reweight.data.sample_table import SampleTable
from keras_reweight.scores.el2n import el2n


@keras.saving.register_keras_serializable(package="keras_reweight")
class EL2NReweight(TrainingCallback):
    """Train with full weight only on samples inside a window of EL2N scores.

    Use it against mislabeled samples (`drop_hardest` near the expected noise rate) or to drop
    redundant ones (`drop_easiest`). Every epoch gives each sample an EL2N score; the scores of the
    epochs so far are averaged, and from epoch `warmup_epochs` on the samples outside the window of
    ranks get the weight `floor`, all weights scaled to mean one. Scores and weights live in the
    compiled step; weights multiply `sample_weight`. Targets must be packed with sample ids.

    Args:
        num_samples: Integer >= 1, number of training samples; ids run from 0 to `num_samples - 1`.
        drop_hardest: Float in `[0, 1)`, share of samples with the highest scores to drop.
            Defaults to `0.0`.
        drop_easiest: Float in `[0, 1)`, share of samples with the lowest scores to drop; the two
            shares add up to less than 1. Defaults to `0.0`.
        warmup_epochs: Integer >= 1, epochs of scoring before the first weights. Defaults to `1`.
        floor: Float in `[0, 1]`, weight of a dropped sample before scaling. Defaults to `0.0`.
        from_logits: Boolean, whether the model gives logits. Defaults to `False`.
        scoring_data: `None` to score each sample in its training step, or a tuple `(x, y)` of all
            samples in the order of their ids, shapes `(num_samples, ...)`, to score them in
            inference mode at each epoch end, as the paper does. Not part of the config.
        name: String, unique among the callbacks of one `fit`. Defaults to `"el2n_reweight"`.

    Returns:
        A `keras.callbacks.Callback` for `fit`; `table` is a `SampleTable` with the columns
        `weight`, `el2n` (mean score, NaN if never scored) and `count`, each `(num_samples,)`.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a share is outside `[0, 1)`, the shares add up to 1 or more, or in `fit`: the
            model has several losses, targets carry no ids, an id is too large, or `from_logits`
            contradicts the compiled loss.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    kr.data.enable_aux_targets(model)
    x, y = np.random.default_rng(0).normal(size=(32, 4)), np.arange(32) % 3
    reweight = kr.callbacks.EL2NReweight(32, drop_hardest=0.2)
    targets = kr.data.pack_targets(y, sample_id=np.arange(32))
    model.fit(x, targets, epochs=3, verbose=0, callbacks=[reweight])
    weights = reweight.table["weight"]
    ```

    Reference:
        Paul, Ganguli and Dziugaite, "Deep Learning on a Data Diet", NeurIPS 2021, arXiv
        2107.07075 (EL2N score and the selection window by rank and offset).

    Deviations:
        The paper prunes once, before a second training; here the window follows the run. Scores
        are averaged over the epochs of one run instead of over runs. Without `scoring_data` the
        predictions are those of the training step (dropout on, batch statistics).

    Cost:
        Two vectors of `num_samples` float32 in the step; with `scoring_data` one `predict` over all
        samples per epoch.
    """

    def __init__(
        self,
        num_samples: int,
        *,
        drop_hardest: float = 0.0,
        drop_easiest: float = 0.0,
        warmup_epochs: int = 1,
        floor: float = 0.0,
        from_logits: bool = False,
        scoring_data: tuple[Any, Any] | None = None,
        name: str | None = None,
    ):
        check_integer("num_samples", num_samples, minimum=1)
        check_number("drop_hardest", drop_hardest, minimum=0.0, exclusive_maximum=1.0)
        check_number("drop_easiest", drop_easiest, minimum=0.0, exclusive_maximum=1.0)
        if drop_hardest + drop_easiest >= 1.0:
            raise ValueError(
                f"`drop_hardest`={drop_hardest!r} and `drop_easiest`={drop_easiest!r} must add up "
                "to less than 1, or no sample is left."
            )
        check_integer("warmup_epochs", warmup_epochs, minimum=1)
        check_number("floor", floor, minimum=0.0, maximum=1.0)
        check_boolean("from_logits", from_logits)
        if scoring_data is not None and not (
            isinstance(scoring_data, (list, tuple)) and len(scoring_data) == 2
        ):
            raise TypeError(
                f"`scoring_data` must be a tuple (x, y), got {type(scoring_data).__name__} "
                f"{scoring_data!r:.60}."
            )
        super().__init__(name=name)
        self.num_samples = num_samples
        self.drop_hardest = drop_hardest
        self.drop_easiest = drop_easiest
        self.warmup_epochs = warmup_epochs
        self.floor = floor
        self.from_logits = from_logits
        self.scoring_data = scoring_data
        self._mean = np.full((num_samples,), np.nan, "float32")
        self._count = np.zeros((num_samples,), "int32")

    @property
    def table(self) -> SampleTable:
        """Weights, mean scores and number of scores of all samples."""
        state = self.get_state()
        weight = state.get("weight", np.ones((self.num_samples,), "float32"))
        return SampleTable(
            self.num_samples, {"weight": weight, "el2n": self._mean, "count": self._count}
        )

    def state_spec(self):
        spec = {
            "weight": np.ones((self.num_samples,), "float32"),
            "max_sample_id": np.full((), -1, "int32"),
        }
        if self.scoring_data is None:
            # Minus one marks samples that this epoch has not shown yet.
            spec["epoch_score"] = np.full((self.num_samples,), -1.0, "float32")
        return spec

    def host_state(self):
        return {"mean": self._mean, "count": self._count}

    def set_host_state(self, state):
        for key in ("mean", "count"):
            if np.shape(state.get(key)) != (self.num_samples,):
                raise ValueError(
                    f"{self.name}: state {key!r} must have shape ({self.num_samples},), got "
                    f"{np.shape(state.get(key))}."
                )
        self._mean = np.array(state["mean"], "float32")
        self._count = np.array(state["count"], "int32")

    def on_attach(self, model):
        self._mean = np.full((self.num_samples,), np.nan, "float32")
        self._count = np.zeros((self.num_samples,), "int32")
        declared = getattr(model.loss, "from_logits", None)
        if declared is not None and bool(declared) != self.from_logits:
            raise ValueError(
                f"`from_logits`={self.from_logits} contradicts the compiled loss "
                f"{model.loss.name!r}, which has from_logits={declared}."
            )

    def weigh(self, call: LossCall):
        """Runs inside the compiled step: gather weights by id, record scores."""
        if call.count != 1:
            raise ValueError(
                f"{self.name}: the model has {call.count} losses; EL2N needs one classification "
                "output."
            )
        if "sample_id" not in call.aux:
            raise ValueError(
                f"{self.name}: the targets carry no sample ids. Pass "
                "`y=keras_reweight.data.pack_targets(y, sample_id=...)`."
            )
        state = self.carrier
        ids = ops.reshape(ops.cast(call.aux["sample_id"], "int32"), (-1,))
        state["max_sample_id"].assign(ops.maximum(state.value("max_sample_id"), ops.max(ids)))
        # Out-of-range ids are reported at the end of the epoch; they must not crash the step first.
        inside = ops.clip(ids, 0, self.num_samples - 1)
        if self.scoring_data is None:
            prediction = ops.stop_gradient(ops.convert_to_tensor(call.y_pred))
            scores = el2n(call.y_true, prediction, from_logits=self.from_logits)
            updated = ops.scatter_update(
                state.value("epoch_score"), ops.expand_dims(inside, -1), ops.cast(scores, "float32")
            )
            state["epoch_score"].assign(updated)
        return ops.take(state.value("weight"), inside, axis=0)

    def on_epoch_end(self, epoch, logs=None):
        self.model  # noqa: B018 - on JAX this brings the running state back into the variables
        state = self.carrier.read()
        if state["max_sample_id"] >= self.num_samples:
            raise ValueError(
                f"`num_samples`={self.num_samples}, but the targets carry the sample id "
                f"{int(state['max_sample_id'])}."
            )
        scores = state["epoch_score"] if self.scoring_data is None else self._score()
        seen = scores >= 0
        total = np.where(self._count > 0, self._mean * self._count, 0.0) + np.where(seen, scores, 0)
        self._count = (self._count + seen).astype("int32")
        mean = total / np.maximum(self._count, 1)
        self._mean = np.where(self._count > 0, mean, np.nan).astype("float32")
        values = {}
        if self.scoring_data is None:
            values["epoch_score"] = np.full((self.num_samples,), -1.0)
        if epoch + 1 >= self.warmup_epochs:
            values["weight"] = window_weights(
                self._mean, self.drop_easiest, self.drop_hardest, self.floor
            )
        self.carrier.write(values)
        if logs is not None:
            weight = values.get("weight", state["weight"])
            logs[f"{self.name}_kept"] = float(np.mean(weight > self.floor * weight.max()))

    def _score(self):
        x, y = self.scoring_data
        predictions = self.model.predict(x, verbose=0)
        scores = el2n(np.asarray(y), predictions, from_logits=self.from_logits)
        scores = np.array(ops.convert_to_numpy(scores), "float32")
        if scores.shape != (self.num_samples,):
            raise ValueError(
                f"`scoring_data` must hold {self.num_samples} samples, got {scores.shape[0]}."
            )
        return np.where(np.isfinite(scores), scores, -1.0)

    def __deepcopy__(self, memo):
        # Tuners copy callbacks for every trial; the data set is shared, not copied.
        if self.scoring_data is not None:
            memo[id(self.scoring_data)] = self.scoring_data
        return super().__deepcopy__(memo)

    def get_config(self) -> dict:
        return {
            "num_samples": self.num_samples,
            "drop_hardest": self.drop_hardest,
            "drop_easiest": self.drop_easiest,
            "warmup_epochs": self.warmup_epochs,
            "floor": self.floor,
            "from_logits": self.from_logits,
            "name": self.name,
        }


def window_weights(
    scores: np.ndarray, drop_easiest: float, drop_hardest: float, floor: float
) -> np.ndarray:
    """Mean-one weights: `floor` outside the window of ranks, unscored samples inside it.

    Ties are broken by sample id.
    """
    weights = np.ones(scores.shape, "float64")
    scored = np.flatnonzero(np.isfinite(scores))
    order = scored[np.argsort(scores[scored], kind="stable")]
    lowest, highest = (int(round(share * len(order))) for share in (drop_easiest, drop_hardest))
    weights[order[:lowest]] = floor
    weights[order[len(order) - highest :]] = floor
    mean = weights.mean()
    return (weights / mean if mean > 0 else np.ones(scores.shape)).astype("float32")
