"""Attacks on token ids, by way of their embeddings."""

from __future__ import annotations

import copy
from typing import Any

import keras
from keras import ops

from keras_reweight.attacks.attack import Attack, Attacked
from keras_reweight.attacks.ball import Ball, as_ball
from keras_reweight.core.forward import predictions_of
from keras_reweight.core.layer_calls import one_layer, recorded_calls
from keras_reweight.core.replaced_methods import replaced_methods


@keras.saving.register_keras_serializable(package="keras_reweight")
class EmbeddingAttack(Attack):
    """Runs an attack on the output of a layer, for inputs that cannot move a little themselves.

    Token ids and categories have no gradient; their embeddings have. The attack moves the output
    of `layer` for every sample within a ball, and the rest of the model goes on from there; the
    tokens that a mask leaves out (padding of an `Embedding` with `mask_zero`) stay where they are
    and use up nothing of the radius. What it finds are embeddings, an upper bound of what changed
    words could do: `evaluate_robust` feeds them to the model, and `predictions` does it by hand.

    Embeddings have no range: use a `Ball` with `clip=None`, of a radius in units of the embeddings.

    Args:
        attack: `PGD`, `FGSM`, `APGD` or `FriendlyPGD`: an `Attack` with the attribute `ball`.
        layer: The layer whose output moves: its name, path, the layer itself or a predicate; the
            model calls it once, and it gives one float tensor.

    Returns:
        Called with a model and inputs: moved outputs of the layer, float array of their shape,
        `(num_samples, time, features)` for an `Embedding`.

    Raises:
        TypeError: If `attack` is no such attack.
        ValueError: In the call: if `layer` names no layer, or one that the model calls more often.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    stack = [keras.layers.Embedding(20, 4, mask_zero=True), keras.layers.GlobalAveragePooling1D()]
    model = keras.Sequential([keras.Input((6,)), *stack, keras.layers.Dense(3)])
    attack = kr.attacks.EmbeddingAttack(
        kr.attacks.PGD(kr.attacks.Ball(0.1, norm="l2", clip=None), steps=3), model.layers[0].name
    )
    tokens, y = np.arange(48).reshape(8, 6) % 20, np.arange(8) % 3
    embeddings = attack(model, tokens, y)
    assert embeddings.shape == (8, 6, 4)
    ```

    Reference:
        Miyato et al., "Adversarial Training Methods for Semi-Supervised Text Classification", ICLR
        2017, arXiv 1605.07725.

    Deviations:
        The paper normalizes the embeddings first; here they are taken as they are.

    Cost:
        A forward pass up to the layer, and those of the attack.
    """

    searches_inputs = False

    def __init__(self, attack: Attack, layer: Any):
        if not isinstance(attack, Attack) or not hasattr(attack, "ball"):
            raise TypeError(
                "`attack` must be an Attack within a `ball`, such as PGD, got "
                f"{attack!r} of type {type(attack).__name__}."
            )
        self.attack = attack
        self.layer = layer

    def search(self, predict, x, y, counter=0):
        raise TypeError(
            "EmbeddingAttack needs the layers of the model, not only its predictions: call it with "
            "a model, or use `evaluate_robust`."
        )

    def search_model(self, model, x, y=None, counter=0):
        layer = one_layer(model, self.layer)
        with recorded_calls(layer) as calls:
            y_clean = predictions_of(model, x)
        if len(calls) != 1 or not ops.is_tensor(calls[0][1]):
            raise ValueError(
                f"`layer`={self.layer!r} must be called once by the model and give one tensor; it "
                f"is called {len(calls)} times."
            )
        inputs, embeddings = calls[0]
        labels = ops.argmax(y_clean, axis=-1) if y is None else y
        attack = copy.copy(self.attack)
        attack.ball = _masked(as_ball(attack.ball), _moves(layer, inputs, embeddings))
        found = attack.search(
            lambda moved: _continued(model, layer, x, moved), embeddings, labels, counter
        )
        return Attacked(found.x, found.steps_correct)

    def predictions(self, model, x, attacked):
        return _continued(model, one_layer(model, self.layer), x, attacked.x)

    def check_inputs(self, x: Any) -> None:
        """Nothing: the layer takes what it takes."""

    def get_config(self) -> dict:
        return {
            "attack": keras.saving.serialize_keras_object(self.attack),
            "layer": self.layer,
        }

    @classmethod
    def from_config(cls, config: dict):
        return cls(keras.saving.deserialize_keras_object(config["attack"]), config["layer"])


def _continued(model, layer, x, moved):
    """What the model says where `layer` gives `moved`."""
    with replaced_methods([(layer, "call", lambda call: lambda *args, **kwargs: moved)]):
        return predictions_of(model, x)


def _moves(layer, inputs, embeddings):
    """Booleans that broadcast against the embeddings: what is no padding; `None` for all."""
    mask = layer.compute_mask(inputs, None)
    if mask is None or isinstance(mask, (list, tuple)):
        return None
    ones = (1,) * (len(embeddings.shape) - len(mask.shape))
    return ops.reshape(ops.cast(mask, "bool"), (*ops.shape(mask), *ones))


def _masked(ball, moves):
    return ball if moves is None else _MaskedBall(ball, moves)


class _MaskedBall(Ball):
    """A ball in which only some entries move."""

    def __init__(self, ball, moves):
        super().__init__(**ball.get_config())
        self._moves = moves

    def start(self, x, kind, seed, counter):
        begin = super().start(x, kind, seed, counter)
        return ops.where(self._moves, begin, x)

    def project(self, moved, x):
        return super().project(ops.where(self._moves, moved, x), x)
