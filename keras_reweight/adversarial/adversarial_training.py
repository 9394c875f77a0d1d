"""Training on the inputs that an attack finds."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_reweight.adversarial._arguments import as_floats, check_kind
from keras_reweight.adversarial._features import feature_layer, features_of
from keras_reweight.adversarial.madry import Madry
from keras_reweight.adversarial.robust_objective import RobustObjective
from keras_reweight.attacks.attack import Attack
from keras_reweight.core.aux_targets import split_targets, weights_of_targets
from keras_reweight.core.forward import predictions_of
from keras_reweight.core.functional_step import FunctionalStepModel
from keras_reweight.core.layer_calls import recorded_calls
from keras_reweight.core.sample_weights import times, weight_per_sample
from keras_reweight.core.step_hooks import GivenLosses, hooked_weights
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

    Callbacks of this package that weigh samples see the losses at the adversarial inputs, and their
    weights act on the whole objective, as `sample_weight` does: `GroupDRO` and `GroupReweight` with
    group ids in packed targets, beside a `weighting` for instances; `KLDROReweight`, whose
    denominator is averaged over batches as in the doubly robust method.

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
        check_kind("attack", attack, Attack)
        check_kind("objective", chosen, RobustObjective)
        if weighting is not None:
            check_kind("weighting", weighting, Weighting)
        check_choice("weighting_reads", weighting_reads, READS)
        if weighting_reads == "clean" and not chosen.needs_clean:
            raise ValueError(
                f"`weighting_reads`='clean', but {type(chosen).__name__} makes no clean "
                "predictions. Use 'adversarial', or an objective such as TRADES."
            )
        super().__init__(model, name=name, **kwargs)
        if chosen.needs_features:
            feature_layer(model, chosen.features)
        self.attack = attack
        self.weighting = weighting
        self.weighting_reads = weighting_reads
        self.objective = objective

    def build(self, input_shape=None):
        self._batches = self.state_weight("batches", ())

    def neutral_step(self, x, y, sample_weight):
        targets, aux = split_targets(y)
        sample_weight = weights_of_targets(sample_weight, aux)
        given = weight_per_sample(sample_weight, type(self).__name__)
        self._batches.assign(self._batches + 1.0)
        x = as_floats(x, type(self).__name__)
        found = self.attack.search(
            lambda inputs: predictions_of(self.model, inputs),
            x,
            targets,
            ops.cast(self._batches, "int32"),
        )
        parts = (x, found.x, found.steps_correct, y, given, sample_weight)
        return self.apply_step(self.counted(self._robust_loss), *parts, count=ops.shape(x)[0])

    def _robust_loss(self, x, attacked, steps_correct, y, given, sample_weight):
        y, aux = split_targets(y)
        clean = None
        minimized = self._minimized()
        if minimized.needs_clean:
            clean, _ = self.training_pass(x)
        adversarial, penalties, features = self._adversarial_pass(attacked, minimized)
        found = GivenLosses(self.loss, lambda: self.losses_of(y, adversarial))
        given = hooked_weights(self, found, y, adversarial, given, aux)

        def loss(y_true, y_pred):
            return found.losses if y_pred is adversarial else self.losses_of(y_true, y_pred)

        terms = minimized.terms(loss, y, clean, adversarial, **features)
        weights = self._weights(found.losses, clean, adversarial, steps_correct, y)
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

    def _adversarial_pass(self, attacked, minimized):
        """Predictions, regularization losses, and what else the objective wants of the pass."""
        if not minimized.needs_features:
            return (*self.training_pass(attacked), {})
        layer = feature_layer(self.model, minimized.features)
        with recorded_calls(layer) as calls:
            found = self.training_pass(attacked)
        return (*found, {"features": features_of(calls, layer, minimized.features)})

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
