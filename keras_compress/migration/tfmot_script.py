"""Weights and masks of a pruned tf_keras model, for Keras 3.

TensorFlow Model Optimization needs Keras 2, so this file is for the environment where it is
installed and needs nothing from this package: copy it there. On a saved model:

    python tfmot_script.py pruned_model.h5 weights.npz

or, in the program that has trained the model (with its wrappers, or stripped):

    from tfmot_script import save_tfmot_weights
    save_tfmot_weights(model, "weights.npz")

Keras 3 then reads the file with `kc.migration.load_tfmot_weights(model, "weights.npz")`.
"""

from __future__ import annotations

import importlib
import json
import sys

import numpy as np

FORMAT = "tfmot pruned weights 1"


def save_tfmot_weights(model, path):
    """Write the weights of a tf_keras model, in or out of pruning wrappers, and their masks.

    Args:
        model: A tf_keras model, Sequential or Functional, models in it opened.
        path: File to write, npz without pickled objects.
    """
    arrays, layers = {}, []
    for layer in _leaves(model):
        inner = getattr(layer, "layer", layer) if hasattr(layer, "pruning_vars") else layer
        masks = {id(weight): mask for weight, mask, _ in getattr(layer, "pruning_vars", ())}
        weights = []
        for weight in inner.weights:
            key = f"{len(layers)}.{len(weights)}"
            arrays[f"{key}.value"] = weight.numpy()
            if id(weight) in masks:
                arrays[f"{key}.mask"] = masks[id(weight)].numpy() != 0
            weights.append({"name": weight.name, "masked": id(weight) in masks})
        if weights:
            kind = type(inner).__name__
            layers.append({"name": inner.name, "class": kind, "weights": weights})
    header = json.dumps({"format": FORMAT, "layers": layers}, sort_keys=True)
    np.savez_compressed(path, header=np.array(header), **arrays)


def _leaves(model):
    for layer in model.layers:
        if hasattr(layer, "layers") and not hasattr(layer, "pruning_vars"):
            yield from _leaves(layer)
        else:
            yield layer


def main():
    if len(sys.argv) != 3:
        raise SystemExit("usage: python tfmot_script.py PRUNED_MODEL WEIGHTS.npz")
    # The first makes `tf.keras` Keras 2, and must be imported before TensorFlow for that.
    tfmot = importlib.import_module("tensorflow_model_optimization")
    tf_keras = importlib.import_module("tf_keras")
    with tfmot.sparsity.keras.prune_scope():
        model = tf_keras.models.load_model(sys.argv[1], compile=False)
    save_tfmot_weights(model, sys.argv[2])


if __name__ == "__main__":
    main()
