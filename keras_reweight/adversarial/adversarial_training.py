"""Training on the inputs that an attack finds."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_reweight.adversarial.madry import Madry
from keras_reweight.adversarial.robust_objective import RobustObjective
from keras_reweight.attacks.attack import Attack
from keras_reweight.core.forward import predictions_of
from keras_reweight.core.functional_step import FunctionalStepModel
from keras_reweight.core.sample_weights import times, weight_per_sample
from keras_reweight.core.validation import check_choice
from keras_reweight.weightings.weighting import Weighting

READS = ("adversarial", "clean")


@keras.saving.register_keras_serializable(package="keras_reweight")
class AdversarialTraining(FunctionalStepModel):
    """Wraps a model and trains it on adversarial inputs, with weights of samples.

    In every step of `fit` the attack looks for inputs that the model, in inference mode, gets
    wrong; then the objective is minimized in training mode. The weighting sees the losses at the
    adversarial inputs (`KLDRO`), predictions (`ProbabilityMargin` is MAIL, `Energy` is WEAT), or
    what the attack needed (`GeometryAware` is GAIRAT); `Product` combines several, as instance and
    class weights. Weights follow the rule of the weighting: those that sum to one are multiplied
    by the batch size.

    Compiled metrics of the training see the adversarial predictions; `evaluate` and validation see
    clean inputs, and `evaluate_robust` attacked ones. The wrapped model is trained in place: use
    and save `trainer.model`.

    Args:
        model: A built `keras.Model` with one floating point input and one output.
        attack: `Attack`, such as `PGD`.
        objective: `RobustObjective`: `Madry`, `TRADES`, `MART` ... Defaults to `None`, `Madry()`.
        weighting: `Weighting`, or `None` for equal weights. Defaults to `None`.
        weighting_reads: Which predictions the weighting gets as `y_pred`: `"adversarial"`, or
            `"clean"` where the objective has them. Defaults to `"adversarial"`.
        name: String. Defaults to `"adversarial_training"`.
        **kwargs: Arguments of `keras.Model`.

    Returns:
        A `keras.Model` for `compile` and `fit`; `model` is the trained model afterwards.

    Raises:
        TypeError: If `model`, `attack`, `objective` or `weighting` is of another kind.
        ValueError: If `model` is not built, or `weighting_reads` is unknown or wants clean
            predictions of an objective without; in `fit`: if `sample_weight` is not one per sample.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    x, y = np.random.default_rng(0).uniform(size=(32, 4)).astype("float32"), np.arange(32) % 2
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    trainer = kr.adversarial.AdversarialTraining(
        model, kr.attacks.PGD(0.1, steps=3), weighting=kr.weightings.KLDRO(1.0)
    )
    trainer.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    trainer.fit(x, y, verbose=0)
    ```

    Reference:
        Madry et al., arXiv 1706.06083; with weights: Sow et al., "Doubly Robust Instance-Reweighted
        Adversarial Training", ICLR 2024, arXiv 2308.00311; Liu et al. (MAIL), NeurIPS 2021; Zhang
        et al. (GAIRAT), ICLR 2021, arXiv 2010.01736.

    Cost:
        The passes of the attack and one training step, two forward and backward passes for an
        objective with clean predictions.
    """

    def __init__(
        self,
        model: keras.Model,
        attack: Attack,
        *,
        objective: RobustObjective | None = None,
        weighting: Weighting | None = None,
        weighting_reads: str = "adversarial",
        name: str = "adversarial_training",
        **kwargs: Any,
    ):
        chosen = Madry() if objective is None else objective
        _check_kind("attack", attack, Attack)
        _check_kind("objective", chosen, RobustObjective)
        if weighting is not None:
            _check_kind("weighting", weighting, Weighting)
        check_choice("weighting_reads", weighting_reads, READS)
        if weighting_reads == "clean" and not chosen.needs_clean:
            raise ValueError(
                f"`weighting_reads`='clean', but {type(chosen).__name__} makes no clean "
                "predictions. Use 'adversarial', or an objective such as TRADES."
            )
        super().__init__(model, name=name, **kwargs)
        self.attack = attack
        self.weighting = weighting
        self.weighting_reads = weighting_reads
        self.objective = objective

    def build(self, input_shape=None):
        self._batches = self.state_weight("batches", ())

    def neutral_step(self, x, y, sample_weight):
        given = weight_per_sample(sample_weight, type(self).__name__)
        self._batches.assign(self._batches + 1.0)
        x = _as_floats(x)
        found = self.attack.search(
            lambda inputs: predictions_of(self.model, inputs),
            x,
            y,
            ops.cast(self._batches, "int32"),
        )
        parts = (x, found.x, found.steps_correct, y, given, sample_weight)
        return self.apply_step(self.counted(self._robust_loss), *parts, count=ops.shape(x)[0])

    def _robust_loss(self, x, attacked, steps_correct, y, given, sample_weight):
        clean = None
        minimized = self._minimized()
        if minimized.needs_clean:
            clean, _ = self.training_pass(x)
        losses, adversarial, penalties = self.losses_and_outputs(attacked, y)

        def loss(y_true, y_pred):
            return losses if y_pred is adversarial else self.losses_of(y_true, y_pred)

        terms = minimized.terms(loss, y, clean, adversarial)
        weights = self._weights(losses, clean, adversarial, steps_correct, y)
        values = sum(
            times(ops.cast(term.values, "float32"), weights if term.weighted else None)
            for term in terms
        )
        total = ops.mean(times(values, given))
        for penalty in penalties:
            total = total + ops.cast(ops.sum(penalty), total.dtype)
        # In here the predictions still carry their mask.
        self.compute_metrics(attacked, y, adversarial, sample_weight)
        return total

    def _minimized(self):
        return Madry() if self.objective is None else self.objective

    def _weights(self, losses, clean, adversarial, steps_correct, y):
        if self.weighting is None:
            return None
        signal = losses
        if self.weighting.weighs_steps:
            if steps_correct is None:
                raise ValueError(
                    f"`weighting`={self.weighting!r} needs the steps before which samples were "
                    f"classified correctly, and {type(self.attack).__name__} does not count them "
                    "for these predictions: use PGD on a classifier."
                )
            signal = steps_correct
        y_pred = clean if self.weighting_reads == "clean" else adversarial
        return self.weighting.sample_weights(
            signal, y_true=y, y_pred=y_pred, step=self.optimizer.iterations
        )

    def get_config(self) -> dict:
        parts = {
            "attack": self.attack,
            "objective": self.objective,
            "weighting": self.weighting,
        }
        serialized = {
            key: keras.saving.serialize_keras_object(value) for key, value in parts.items()
        }
        return {**super().get_config(), **serialized, "weighting_reads": self.weighting_reads}

    @classmethod
    def from_config(cls, config: dict, custom_objects: dict | None = None):
        parts = {
            key: keras.saving.deserialize_keras_object(config[key], custom_objects=custom_objects)
            for key in ("attack", "objective", "weighting")
        }
        return super().from_config({**config, **parts}, custom_objects)


def _check_kind(argument, value, kind):
    if not isinstance(value, kind):
        raise TypeError(
            f"`{argument}` must be a {kind.__name__}, got {value!r} of type {type(value).__name__}."
        )


def _as_floats(x):
    if keras.tree.is_nested(x):
        leaves = keras.tree.flatten(x)
        raise TypeError(
            f"AdversarialTraining takes models of one input, got {len(leaves)} inputs as "
            f"{type(x).__name__}."
        )
    # An array where `train_on_batch` runs eagerly.
    x = ops.convert_to_tensor(x)
    if keras.backend.is_float_dtype(keras.backend.standardize_dtype(x.dtype)):
        return x
    return ops.cast(x, keras.config.floatx())
