"""What becomes of two gradients that point apart."""

from __future__ import annotations

import numpy as np
from keras import ops

from docs.curves._picture import Picture
from keras_reweight import tasks

_BALANCERS = {
    "sum": tasks.FixedWeights(),
    "PCGrad": tasks.PCGrad(),
    "MGDA": tasks.MGDA(),
    "CAGrad": tasks.CAGrad(),
    "UPGrad": tasks.UPGrad(),
}


def _conflict():
    """Progress of the loss with the shorter gradient, in lengths of that gradient."""
    angles = np.linspace(10.0, 170.0, 17)
    curves = {}
    for label, balancer in _BALANCERS.items():
        progress = []
        for angle in np.radians(angles):
            gradients = np.array([[3.0, 0.0], [np.cos(angle), np.sin(angle)]], "float32")
            gram = ops.convert_to_tensor(gradients @ gradients.T)
            shown = tasks.TaskStatistics(
                ops.ones((2,)), gram, None, None, ops.zeros((), "int32"), 0
            )
            weights, _ = balancer.weights(shown, {})
            progress.append(float(gradients[1] @ (ops.convert_to_numpy(weights) @ gradients)))
        curves[label] = (angles, np.array(progress))
    return curves


PICTURES = {
    "conflict": Picture("angle between the gradients", "progress of the smaller loss", _conflict)
}
