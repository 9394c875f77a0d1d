"""What a weight takes in a file, by the share of zeros."""

from __future__ import annotations

import keras
import numpy as np

import keras_compress as kc
from docs.curves._picture import Picture

_SHARES = np.array([0.0, 0.1, 0.25, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98, 0.99])


def _bytes():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(256, 256)).astype("float32")
    order = rng.random(values.shape)
    model = keras.Sequential(
        [
            keras.Input((256,)),
            keras.layers.Dense(256, use_bias=False, kernel_initializer="zeros"),
        ]
    )
    found = []
    for share in _SHARES:
        model.layers[0].kernel.assign(np.where(order < share, np.float32(0), values))
        found.append(kc.export.file_sizes(model))
    named = {
        "as it is": "num_bytes",
        "gzip": "gzip_bytes",
        "save_sparse": "sparse_bytes",
    }
    return {
        label: (_SHARES, np.array([getattr(sizes, name) for sizes in found]) / values.size)
        for label, name in named.items()
    }


PICTURES = {
    "bytes": Picture("share of zeros", "bytes a weight of float32", _bytes),
}
