import numpy as np
import pytest

import keras_compress as kc
from tests.compress.pruning.models import fit, kernels, sequential


def index(w, p=0.5, q=1.0):
    w = np.abs(np.asarray(w, "float64")[np.asarray(w) != 0])
    return 1.0 - np.mean(w**p) ** (1 / p) / np.mean(w**q) ** (1 / q)


def test_survivors_are_measured_after_every_epoch():
    model = sequential()
    kc.prune_magnitude(model, 0.5)
    callbacks = [kc.callbacks.KeepSparsity(), kc.callbacks.PQIndexMonitor()]
    history = fit(model, *callbacks, epochs=2).history
    assert len(history["pq_index"]) == 2
    whole = np.concatenate([kernel.ravel() for kernel in kernels(model)])
    assert history["pq_index"][-1] == pytest.approx(index(whole), rel=1e-5)
    other = kc.callbacks.PQIndexMonitor(1.0, 2.0, scope="layer", layers=model.layers[1])
    mean, of_layer = other.measure(model).values()
    assert mean == of_layer == pytest.approx(index(kernels(model)[1], 1.0, 2.0), rel=1e-5)


def test_unknown_layers_are_refused_before_training():
    with pytest.raises(ValueError, match="missing"):
        fit(sequential(), kc.callbacks.PQIndexMonitor(layers="missing"))
