"""What attacks leave of the accuracy, by their radius."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

import keras_reweight as kr
from docs.curves._picture import Picture, slopes

_RADII = np.linspace(0.0, 0.12, 7)
_SAMPLES = 400


def _losses():
    """How hard each loss pulls at logits `(lead, 0, -1)`, of which the first is right."""
    leads = np.linspace(-4.0, 16.0, 81)
    scores = np.stack([leads, 0.0 * leads, 0.0 * leads - 1.0], axis=1)
    curves = {}
    for kind in ("crossentropy", "margin", "dlr"):
        loss = kr.attacks.AttackLoss(kind)
        labels = np.zeros(len(leads), "int32")
        found = slopes(lambda values, loss=loss, labels=labels: loss(labels, values), scores)
        curves[kind] = (leads, np.linalg.norm(found, axis=1))
    return curves


class _Hidden(keras.layers.Layer):
    """Rounds, so that no gradient comes back."""

    def call(self, inputs):
        return ops.round(20.0 * inputs) / 20.0


def _spirals():
    """Two arms in the unit square."""
    rng = np.random.default_rng(0)
    turn = np.sqrt(rng.uniform(0.02, 1.0, _SAMPLES)) * 1.5 * np.pi
    label = np.arange(_SAMPLES) % 2
    way = np.stack([np.cos(turn + np.pi * label), np.sin(turn + np.pi * label)], axis=1)
    x = 0.5 + 0.09 * turn[:, None] * way
    return np.clip(x, 0.0, 1.0).astype("float32"), label


def _trained():
    keras.utils.set_random_seed(0)
    x, y = _spirals()
    layers = [keras.layers.Dense(32, "tanh"), keras.layers.Dense(32, "tanh"), keras.layers.Dense(2)]
    model = keras.Sequential([keras.Input((2,)), *layers])
    model.compile(
        keras.optimizers.Adam(0.01), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    model.fit(x, y, batch_size=50, epochs=40, verbose=0)
    return model, x, y


def _curves(model, x, y, attacks):
    curves = {}
    for name, attack in attacks.items():
        left = []
        for radius in _RADII:
            options = {"check_masking": False, "verbose": False, "batch_size": _SAMPLES}
            made = attack(kr.attacks.Ball(float(radius)))
            report = kr.adversarial.evaluate_robust(model, (x, y), {name: made}, **options)
            left.append(report.accuracy(name))
        curves[name] = (_RADII, np.array(left))
    return curves


def _by_radius():
    attacks = {
        "FGSM": kr.attacks.FGSM,
        "PGD, 10 steps": kr.attacks.PGD,
        "APGD, 25 steps": lambda ball: kr.attacks.APGD(ball, steps=25),
    }
    return _curves(*_trained(), attacks)


def _masked():
    model, x, y = _trained()
    hidden = keras.Sequential([keras.Input((2,)), _Hidden(), *model.layers])
    attacks = {
        "PGD on the model itself": lambda ball: kr.attacks.PGD(ball, start="none"),
        "PGD on a model of the same weights": lambda ball: kr.attacks.TransferAttack(
            kr.attacks.PGD(ball, start="none"), model
        ),
    }
    return _curves(hidden, x, y, attacks)


PICTURES = {
    "losses": Picture("lead of the right class", "length of the slope by the logits", _losses),
    "radius": Picture("radius", "accuracy that is left", _by_radius),
    "masked": Picture("radius", "accuracy that is left", _masked),
}
