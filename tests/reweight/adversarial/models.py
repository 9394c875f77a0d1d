"""One step of adversarial training of a linear softmax model, in NumPy."""

from __future__ import annotations

import keras
import numpy as np

import keras_reweight as kr
from tests.reweight.attacks import linear
from tests.reweight.meta.models import steps

RATE = 0.1
ATTACK = {"ball": kr.attacks.Ball(0.2, clip=None), "step_size": 0.1, "steps": 2, "start": "none"}


def after_a_step(trainer, sample_weight=None, compiled=False) -> list[np.ndarray]:
    """Kernel and bias after one step on the whole batch."""
    trainer.compile(
        keras.optimizers.SGD(RATE),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        **steps(compiled),
    )
    trainer.fit(linear.X, linear.Y, sample_weight=sample_weight, batch_size=7, verbose=0)
    return [keras.ops.convert_to_numpy(v) for v in trainer.model.trainable_variables]


def attacked(loss="crossentropy") -> np.ndarray:
    options = {key: value for key, value in ATTACK.items() if key != "start"}
    return linear.reference_pgd(linear.X, linear.Y, loss=loss, **options)


def objective(kernel, bias, x_adv, terms, weights) -> float:
    """`mean(sum of the terms)`; `terms(clean, adversarial) -> [(values, weighted)]`."""
    x = linear.X.astype("float64")
    found = terms(linear.softmax(x @ kernel + bias), linear.softmax(x_adv @ kernel + bias))
    return sum(np.mean(v * (weights if weighted else 1.0)) for v, weighted in found)


def stepped(terms, weights=1.0, loss="crossentropy") -> list[np.ndarray]:
    """The same by central differences; the adversarial inputs and the weights stand still."""
    x_adv = attacked(loss)
    start = [linear.KERNEL.astype("float64"), linear.BIAS.astype("float64")]
    found = []
    for place, value in enumerate(start):
        slope = np.zeros_like(value)
        for index in np.ndindex(value.shape):
            values = []
            for sign in (1.0, -1.0):
                moved = [part.copy() for part in start]
                moved[place][index] += sign * 1e-5
                values.append(objective(*moved, x_adv, terms, weights))
            slope[index] = (values[0] - values[1]) / 2e-5
        found.append(value - RATE * slope)
    return found


def own(probabilities) -> np.ndarray:
    return probabilities[np.arange(7), linear.Y]


def divergence(clean, adversarial) -> np.ndarray:
    return (clean * np.log(clean / adversarial)).sum(axis=1)


def madry_terms(clean, adversarial):
    return [(-np.log(own(adversarial)), True)]


def trades_terms(beta, weight_clean):
    return lambda clean, adversarial: [
        (-np.log(own(clean)), weight_clean),
        (beta * divergence(clean, adversarial), True),
    ]


def mart_terms(beta):
    def terms(clean, adversarial):
        others = np.where(np.eye(3)[linear.Y] > 0.5, 0.0, adversarial).max(axis=1)
        boosted = -np.log(own(adversarial)) - np.log(1.0001 - others)
        unsure = 1.0000001 - own(clean)
        return [(boosted, True), (beta * unsure * divergence(clean, adversarial), True)]

    return terms
