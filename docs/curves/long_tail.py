"""What class frequencies do to weights and to the slopes of losses."""

from __future__ import annotations

import numpy as np
from keras import losses

import keras_reweight as kr
from docs.curves._picture import Picture, binary_logits, loss_slopes, weights

_COUNTS = [round(count) for count in np.geomspace(10, 1000, 31)]
_MARGINS = np.linspace(-4.0, 4.0, 81)
#: The second class is the rare one.
_PAIR = [1000, 10]


def _frequency():
    labels = np.arange(len(_COUNTS))
    weightings = {
        "InverseFrequency": kr.weightings.InverseFrequency(_COUNTS),
        "InverseFrequency, power 0.5": kr.weightings.InverseFrequency(_COUNTS, power=0.5),
        "ClassBalanced, beta 0.99": kr.weightings.ClassBalanced(_COUNTS, beta=0.99),
        "LogFrequency": kr.weightings.LogFrequency(_COUNTS),
    }
    return {
        label: (np.array(_COUNTS), weights(each, np.ones(len(labels)), y_true=labels))
        for label, each in weightings.items()
    }


def _focal():
    probability = np.linspace(0.01, 0.99, 50).astype("float32")
    inputs = {
        "y_true": np.zeros(50, "int32"),
        "y_pred": np.stack([probability, 1.0 - probability], axis=-1),
    }
    return {
        f"gamma={gamma}": (
            probability,
            weights(kr.weightings.Focal(gamma), np.ones(50), **inputs),
        )
        for gamma in (0.5, 1.0, 2.0, 5.0)
    }


def _margins():
    functions = {
        "cross-entropy": losses.SparseCategoricalCrossentropy(from_logits=True),
        "balanced softmax": kr.losses.BalancedSoftmaxLoss(_PAIR),
    }
    curves = {}
    for name, loss in functions.items():
        for label, kind in ((1, "rare"), (0, "frequent")):
            if name == "cross-entropy" and label == 0:
                continue
            logits = binary_logits(_MARGINS)[:, :: 1 - 2 * label]
            slopes = loss_slopes(loss, np.full(len(_MARGINS), label), logits)
            text = name if name == "cross-entropy" else f"{name}, {kind} label"
            curves[text] = (_MARGINS, np.abs(slopes[:, label]))
    slopes = loss_slopes(kr.losses.LogitAdjustedLoss(_PAIR, tau=0.5), np.ones(81), logits[:, ::-1])
    curves["logit adjusted, tau 0.5, rare label"] = (_MARGINS, np.abs(slopes[:, 1]))
    return curves


def _push():
    logits = np.stack([np.zeros_like(_MARGINS), _MARGINS], axis=-1)
    functions = {
        "cross-entropy": losses.SparseCategoricalCrossentropy(from_logits=True),
        "SeesawLoss": kr.losses.SeesawLoss(_PAIR),
        "EqualizationLoss": kr.losses.EqualizationLoss(_PAIR, threshold=0.1),
        "SoftmaxEqualizationLoss": kr.losses.SoftmaxEqualizationLoss(_PAIR, threshold=0.1),
    }
    labels = np.zeros(len(_MARGINS), "int32")
    return {
        name: (_MARGINS, np.abs(loss_slopes(loss, labels, logits)[:, 1]))
        for name, loss in functions.items()
    }


PICTURES = {
    "frequency": Picture("samples of the class", "weight", _frequency, log_x=True),
    "focal": Picture("probability of the label", "weight", _focal),
    "margins": Picture("margin of the label", "size of the gradient", _margins),
    "push": Picture("logit of the rare class minus that of the label", "push down", _push),
}
