"""Adversarial training at the price of plain training."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_reweight.adversarial._arguments import as_floats, check_kind
from keras_reweight.attacks.ball import Ball, as_ball
from keras_reweight.core.aux_targets import split_targets, weights_of_targets
from keras_reweight.core.call_shapes import symbolic_inputs
from keras_reweight.core.functional_step import FunctionalStepModel
from keras_reweight.core.sample_weights import times, weight_per_sample
from keras_reweight.core.step_hooks import GivenLosses, hooked_weights
from keras_reweight.core.validation import check_integer, check_number
from keras_reweight.weightings.weighting import Weighting


@keras.saving.register_keras_serializable(package="keras_reweight")
class FreeAdversarialTraining(FunctionalStepModel):
    """Wraps a model and trains it on perturbations that come with the gradients of the weights.

    Every batch is used `replays` times. Each time one backward pass gives the gradient by the
    weights, for a step of the optimizer, and that by the inputs, which moves the perturbation:
    `delta <- limit(delta + step_size * d(grad_x loss(x + delta)))`, with the sign for `d` in the
    maximum norm. The next batch begins with the perturbation of the last one, row by row. So an
    attack grows over the replays at no price, against a model that moves at the same time. Divide
    the number of epochs by `replays`: a pass over the data costs as much as `replays` plain ones,
    and the optimizer takes as many steps; schedules of the learning rate count them.

    For the cheapest robust training beside `AdversarialTraining` with `FGSM(start="uniform")`,
    which needs two gradients a step. Not where robustness alone counts: attacks of several steps
    (`PGD`) leave models stronger. Many replays of one batch make the model forget the others: four
    to ten are usual.

    Weightings read the losses and predictions of the replay (`KLDRO`, `ProbabilityMargin`,
    `Energy`, `ClassBalanced` ...), as callbacks do that weigh samples (`GroupDRO`,
    `KLDROReweight`), once a replay; a sample of weight zero is not perturbed. Metrics and loss of
    the training are means over all replays.

    Args:
        model: A built `keras.Model` with one floating point input, of which all sizes but that of
            the batch are known, and one output.
        ball: `Ball`, or its radius: a float >= 0 in units of the inputs. Defaults to `8 / 255`.
        replays: Integer >= 1, uses of a batch. Defaults to `4`.
        step_size: Float > 0, or `None` for `epsilon`. Defaults to `None`.
        weighting: `Weighting`, or `None` for equal weights. Defaults to `None`.
        batch_size: Integer >= 1, the largest batch of `fit`, for which perturbations are kept;
            smaller batches use the first rows. Defaults to `128`.
        name: String. Defaults to `"free_adversarial_training"`.
        **kwargs: Arguments of `keras.Model`.

    Returns:
        A `keras.Model` for `compile` and `fit`; `model` is the trained model afterwards.

    Raises:
        TypeError: If `model`, `ball`, `weighting` or a number is of another kind.
        ValueError: If `model` is not built or does not know its input shape, a number is out of its
            range, or `weighting` reads the steps of an attack; in `fit`: if a batch is larger than
            `batch_size` or `sample_weight` is not one per sample.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    x, y = np.random.default_rng(0).uniform(size=(32, 4)).astype("float32"), np.arange(32) % 2
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    trainer = kr.adversarial.FreeAdversarialTraining(model, 0.1, replays=4)
    trainer.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    trainer.fit(x, y, verbose=0)
    ```

    Reference:
        Shafahi et al., "Adversarial Training for Free!", NeurIPS 2019, arXiv 1904.12843,
        algorithm 1; mahyarnajibi/FreeAdversarialTraining.

    Deviations:
        The gradient is taken at the clipped input. The official code takes it through the clipping,
        so that there the perturbation of a pixel that leaves the range stays as it is. Weights of
        samples are ours.

    Cost:
        `replays` forward and backward passes a step, and memory for the perturbation of a batch.
    """

    def __init__(
        self,
        model: keras.Model,
        ball: Ball | float = 8 / 255,
        *,
        replays: int = 4,
        step_size: float | None = None,
        weighting: Weighting | None = None,
        batch_size: int = 128,
        name: str = "free_adversarial_training",
        **kwargs: Any,
    ):
        as_ball(ball)
        check_integer("replays", replays, minimum=1)
        if step_size is not None:
            check_number("step_size", step_size, exclusive_minimum=0.0)
        if weighting is not None:
            check_kind("weighting", weighting, Weighting)
            if weighting.weighs_steps:
                raise ValueError(
                    f"`weighting`={weighting!r} reads the steps that an attack needs, and free "
                    "adversarial training has no attack: use AdversarialTraining with PGD."
                )
        check_integer("batch_size", batch_size, minimum=1)
        super().__init__(model, name=name, **kwargs)
        self.ball = ball
        self.replays = replays
        self.step_size = step_size
        self.weighting = weighting
        self.batch_size = batch_size
        self._features = _features(model)

    def build(self, input_shape=None):
        self._perturbation = self.state_weight("perturbation", (self.batch_size, *self._features))

    def neutral_step(self, x, y, sample_weight):
        _, aux = split_targets(y)
        sample_weight = weights_of_targets(sample_weight, aux)
        given = weight_per_sample(sample_weight, type(self).__name__)
        x = as_floats(x, type(self).__name__)
        if isinstance(x.shape[0], int) and x.shape[0] > self.batch_size:
            raise ValueError(
                f"A batch of {x.shape[0]} samples is larger than `batch_size`={self.batch_size}: "
                "construct FreeAdversarialTraining with the batch size of `fit`."
            )
        for _ in range(self.replays):
            self._replay(x, y, given, sample_weight)
        return self.get_metrics_result()

    def _replay(self, *parts):
        ball, variables = as_ball(self.ball), self.trainable_variables
        others = [*self.non_trainable_variables, *self.metrics_variables]
        # The perturbation beside the weights: one backward pass for both.
        function = self.step_function(self._loss, others, of=[*variables, self._perturbation])
        loss, gradients, updates = function.value_and_grad(*parts, commits=True)
        self.commit(updates)
        self.optimizer.apply(gradients[:-1], variables)
        size = ball.epsilon if self.step_size is None else self.step_size
        before = ops.convert_to_tensor(self._perturbation)
        self._perturbation.assign(ball.limit(before + size * ball.direction(gradients[-1])))
        self._loss_tracker.update_state(loss, sample_weight=ops.shape(parts[0])[0])

    def _loss(self, x, y, given, sample_weight):
        y, aux = split_targets(y)
        # Rows that a smaller batch leaves out get no gradient and stay.
        start = (0,) * len(x.shape)
        delta = ops.slice(ops.convert_to_tensor(self._perturbation), start, ops.shape(x))
        delta = ops.cast(delta, x.dtype)
        point = ops.stop_gradient(as_ball(self.ball).project(x + delta, x))
        attacked = point + (delta - ops.stop_gradient(delta))
        y_pred, penalties = self.training_pass(attacked)
        found = GivenLosses(self.loss, lambda: self.losses_of(y, y_pred))
        given = hooked_weights(self, found, y, y_pred, given, aux)
        weights = None
        if self.weighting is not None:
            weights = self.weighting.sample_weights(
                found.losses, y_true=y, y_pred=y_pred, step=self.optimizer.iterations
            )
        total = ops.mean(times(times(found.losses, weights), given))
        for penalty in penalties:
            total = total + ops.cast(ops.sum(penalty), total.dtype)
        # In here the predictions still carry their mask.
        self.compute_metrics(attacked, y, y_pred, sample_weight)
        return total

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "ball": keras.saving.serialize_keras_object(self.ball),
            "replays": self.replays,
            "step_size": self.step_size,
            "weighting": keras.saving.serialize_keras_object(self.weighting),
            "batch_size": self.batch_size,
        }

    @classmethod
    def from_config(cls, config: dict, custom_objects: dict | None = None):
        parts = {
            key: keras.saving.deserialize_keras_object(config[key], custom_objects=custom_objects)
            for key in ("ball", "weighting")
        }
        return super().from_config({**config, **parts}, custom_objects)


def _features(model):
    """Shape of one sample."""
    try:
        inputs = keras.tree.flatten(symbolic_inputs(model))
    except ValueError as error:
        raise ValueError(
            "FreeAdversarialTraining keeps a perturbation for every row of a batch, so `model` "
            f"must know the shape of its inputs. {error}"
        ) from error
    if len(inputs) != 1:
        raise TypeError(
            f"FreeAdversarialTraining takes models of one input, `model` has {len(inputs)}."
        )
    return tuple(inputs[0].shape[1:])
