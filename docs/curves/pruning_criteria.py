"""What criteria keep of a network, and what is left of its layers."""

from __future__ import annotations

import warnings

import keras
import numpy as np

import keras_compress as kc
from docs.curves._picture import Picture

_BINS = 20
_LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def _data():
    """Inputs whose sizes differ by a factor of up to thirty."""
    generator = np.random.default_rng(0)
    scales = 10.0 ** np.linspace(-1.0, 0.5, 40)
    x = (generator.normal(size=(256, 40)) * scales).astype("float32")
    return x, (x @ generator.normal(size=(40, 4))).argmax(axis=1)


def _network(*units):
    layers = [keras.layers.Dense(n, "relu") for n in units[1:-1]]
    model = keras.Sequential([keras.Input((units[0],)), *layers, keras.layers.Dense(units[-1])])
    generator = np.random.default_rng(1)
    model.set_weights(
        [generator.normal(size=w.shape) * w.shape[0] ** -0.5 * (w.ndim > 1) for w in model.weights]
    )
    return model


def _kept():
    x, y = _data()
    model = _network(40, 60, 4)
    weights = model.layers[0].kernel
    ranks = np.argsort(np.argsort(np.abs(model.get_weights()[0]).ravel()))
    places = (np.arange(_BINS) + 0.5) / _BINS
    criteria = {
        "Magnitude": kc.pruning.Magnitude(),
        "Wanda": kc.pruning.Wanda(x),
        "Taylor": kc.pruning.Taylor((x, y), loss=_LOSS),
        "OptimalBrainDamage": kc.pruning.OptimalBrainDamage((x, y), loss=_LOSS),
        "GraSP": kc.pruning.GraSP((x, y), loss=_LOSS),
        "RandomScores": kc.pruning.RandomScores(),
    }
    curves = {}
    for label, criterion in criteria.items():
        (score,) = criterion.scores(model, [weights])
        kept = score.ravel() >= np.quantile(score, 0.7)
        bins = ranks * _BINS // ranks.size
        shares = np.bincount(bins, kept, _BINS) / np.bincount(bins, minlength=_BINS)
        curves[label] = (places, shares)
    return curves


def _thinnest():
    x, y = _data()
    data = (x[:100], y[:100])
    sparsities = 1.0 - 2.0 ** -np.arange(2.0, 9.5, 0.5)
    allocation = kc.pruning.GlobalAllocation(min_keep=0.0)
    criteria = {
        "SynFlow, 20 rounds": (kc.pruning.SynFlow(), 20),
        "SynFlow, at once": (kc.pruning.SynFlow(), 1),
        "SNIP, 20 rounds": (kc.pruning.SNIP(data, loss=_LOSS, batch_size=100), 20),
        "SNIP, at once": (kc.pruning.SNIP(data, loss=_LOSS, batch_size=100), 1),
        "Magnitude": (kc.pruning.Magnitude(), 1),
    }
    model = _network(40, 60, 60, 60, 4)
    weights = model.get_weights()
    curves = {}
    for label, (criterion, rounds) in criteria.items():
        left = []
        for sparsity in sparsities:
            model.set_weights(weights)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", kc.pruning.LayerCollapseWarning)
                report = kc.pruning.prune_iteratively(
                    model, sparsity, criterion=criterion, rounds=rounds, allocation=allocation
                )
            left.append(min(int(mask.sum()) for mask in report.masks.values()))
        curves[label] = (1.0 - sparsities, np.array(left, "float64"))
    return curves


PICTURES = {
    "kept": Picture("place of a weight in the order of magnitude", "share that is kept", _kept),
    "thinnest": Picture(
        "share of the weights that is left", "weights left in the thinnest layer", _thinnest,
        log_x=True,
    ),
}  # fmt: skip
