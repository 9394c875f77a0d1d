"""Two valleys of one depth, a narrow and a wide one."""

from __future__ import annotations

import numpy as np
from keras import ops

from docs.curves._picture import Picture
from keras_reweight import sharpness

_STEPS, _RATE = 60, 0.02
_NARROW, _WIDE = -1.0, 1.0


def _slope(w):
    """Of the smaller one of two parabolas."""
    narrow, wide = 20.0 * (w - _NARROW) ** 2, (w - _WIDE) ** 2
    return np.where(narrow < wide, 40.0 * (w - _NARROW), 2.0 * (w - _WIDE))


def _end(rule, start):
    w = np.array([start])
    for _ in range(_STEPS):
        gradient = _slope(w)
        if rule is not None:
            tensors = [[ops.convert_to_tensor(part, "float32")] for part in (w, gradient)]
            (beyond,) = rule.neighbor(*tensors)
            gradient = _slope(ops.convert_to_numpy(beyond))
        w = w - _RATE * gradient
    return float(w[0])


def _valleys():
    starts = np.linspace(-1.6, 1.6, 33)
    rules = {"descent": None, "SAM": sharpness.SAM(0.5)}
    return {
        label: (starts, np.array([_end(rule, start) for start in starts]))
        for label, rule in rules.items()
    }


PICTURES = {"valleys": Picture("start", "end", _valleys)}
