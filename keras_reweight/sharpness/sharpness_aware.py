"""Training with two passes a step."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops, tree

from keras_reweight.core.functional_step import FunctionalStepModel
from keras_reweight.sharpness.sam import SAM
from keras_reweight.sharpness.sharpness_rule import SharpnessRule


@keras.saving.register_keras_serializable(package="keras_reweight")
class SharpnessAware(FunctionalStepModel):
    """Wraps a model and trains it with the gradient at a neighbor of its weights.

    Any optimizer, loss, metrics and regularization of `compile`. Batch normalization, metrics and
    random layers count the first pass only; in the second one batches are normalized by their own
    statistics as well, which are not kept.

    Args:
        model: A built `keras.Model`.
        rule: `SharpnessRule`, such as `SAM`. Defaults to `None`, `SAM()`.
        name: String. Defaults to `"sharpness_aware"`.
        **kwargs: Arguments of `keras.Model`.

    Returns:
        A `keras.Model` for `compile` and `fit`; `model` is the trained model afterwards.

    Raises:
        TypeError: If `model` is no model or `rule` no `SharpnessRule`.
        ValueError: If `model` is not built.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    x, y = np.random.default_rng(0).normal(size=(32, 4)).astype("float32"), np.arange(32) % 2
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    trainer = kr.sharpness.SharpnessAware(model, kr.sharpness.SAM(rho=0.1))
    trainer.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    trainer.fit(x, y, verbose=0)
    ```

    Reference:
        Foret et al., "Sharpness-Aware Minimization for Efficiently Improving Generalization", ICLR
        2021, arXiv 2010.01412, algorithm 1.

    Cost:
        Two forward and two backward passes a step.
    """

    def __init__(
        self,
        model: keras.Model,
        rule: SharpnessRule | None = None,
        *,
        name: str = "sharpness_aware",
        **kwargs: Any,
    ):
        if rule is not None and not isinstance(rule, SharpnessRule):
            raise TypeError(f"`rule` must be a SharpnessRule, got {rule!r}.")
        super().__init__(model, name=name, **kwargs)
        self.rule = rule

    def neutral_step(self, x, y, sample_weight):
        def objective(x, y):
            return self.compiled_loss(x, y, sample_weight)

        function = self.counted(objective)
        loss, gradients, updates = function.value_and_grad(x, y, commits=True)
        variables = self.trainable_variables
        values = [ops.convert_to_tensor(variable) for variable in variables]
        rule = SAM() if self.rule is None else self.rule
        _, beyond, _ = function.value_and_grad(x, y, values=rule.neighbor(values, gradients))
        found = self.adjusted(rule.combine(gradients, beyond), x, y)
        self.commit(updates)
        self.optimizer.apply(found, variables)
        self._loss_tracker.update_state(loss, sample_weight=ops.shape(tree.flatten(x)[0])[0])
        return self.get_metrics_result()

    def adjusted(self, gradients: list[Any], x: Any, y: Any) -> list[Any]:
        """What subclasses make of the gradients of the rule, before the optimizer gets them."""
        del x, y
        return gradients

    def get_config(self) -> dict:
        rule = keras.saving.serialize_keras_object(self.rule)
        return {**super().get_config(), "rule": rule}

    @classmethod
    def from_config(cls, config: dict, custom_objects: dict | None = None):
        rule = keras.saving.deserialize_keras_object(config["rule"], custom_objects=custom_objects)
        return super().from_config({**config, "rule": rule}, custom_objects)
