"""Retraining few parameters repairs a pruned network.

Claim: After pruning it is enough to retrain a small part: low-rank updates inside the pattern of
zeros reach what retraining all weights reaches, biases and normalization alone win back much of
what was lost, and the merged network is exactly as sparse as before.

Paper: Zimmer et al., "PERP: Rethinking the Prune-Retrain Paradigm in the Era of LLMs",
arXiv 2312.15230.

Setting: MNIST, 784-128-128-10 network with layer normalization behind the hidden layers, 10240
images, trained for 5 epochs with Adam 0.001, batches of 64. All kernels are pruned by magnitude to
the same share, 90 % and 95 %, then retrained for 3 epochs with Adam and linear decay: all weights
under `KeepSparsity` from 0.001 and from 0.01; `MaskLoRA` and `ScaleLoRA` of rank 4 together with
biases and normalization, and biases and normalization alone, from 0.01. Zeros are compared with
NumPy.

Criterion: At both sparsities `MaskLoRA` is at most one point below the better of the two ways of
retraining all weights; biases and normalization gain at least 20 points over no retraining at 95 %;
every zero of the pruned network is a zero of the merged one, and no other weight is.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import layers

import keras_compress as kc
from evidence.data import take
from evidence.result import Result
from evidence.training import accuracy, compile_classifier, start

SEEDS = 3
BATCH, EPOCHS, RANK = 64, 3, 4
PEAKS = (0.001, 0.01)
ACCURACY, TRAINED = "test accuracy %", "trained weights %"


def run(data, seeds, quick) -> Result:
    result = Result()
    num_train, epochs = (2_560, 2) if quick else (10_240, 5)
    broken = 0
    for seed in seeds:
        broken += _one_seed(result, data.mnist, num_train, epochs, seed)
    for share in (90, 95):
        result.at_least(
            f"MaskLoRA minus all weights at {share} %, in points",
            result.center(f"{share} %, MaskLoRA", ACCURACY)
            - max(result.center(f"{share} %, all weights from {peak}", ACCURACY) for peak in PEAKS),
            -1.0,
        )
    result.at_least(
        "biases and normalization minus no retraining at 95 %, in points",
        result.center("95 %, biases and normalization", ACCURACY)
        - result.center("95 %, no retraining", ACCURACY),
        20.0,
    )
    result.at_most("weights whose being zero was changed by merging", broken, 0)
    return result


def _network():
    stack = [keras.Input((28, 28, 1)), layers.Flatten()]
    for _ in range(2):
        stack += [layers.Dense(128), layers.LayerNormalization(), layers.ReLU()]
    return keras.Sequential([*stack, layers.Dense(10)])


def _one_seed(result, split, num_train, epochs, seed):
    ((x, y),) = take(split, seed, num_train)
    steps = EPOCHS * num_train // BATCH

    def fit(model, epochs, *callbacks):
        model.fit(x, y, batch_size=BATCH, epochs=epochs, callbacks=list(callbacks), verbose=0)

    def retrain(model, peak, *callbacks):
        compile_classifier(model, keras.optimizers.schedules.PolynomialDecay(peak, steps, 0.0))
        fit(model, EPOCHS, *callbacks)
        return model

    def measure(arm, model):
        result.append(arm, ACCURACY, accuracy(model, split.x_test, split.y_test))

    start(seed)
    dense = compile_classifier(_network())
    fit(dense, epochs)
    measure("dense", dense)
    broken = 0
    for share in (90, 95):
        start(seed)
        pruned = _network()
        pruned.set_weights(dense.get_weights())
        kc.prune_magnitude(pruned, share / 100, scope="layer")
        weights = pruned.get_weights()
        measure(f"{share} %, no retraining", pruned)
        for peak in PEAKS:
            pruned.set_weights(weights)
            retrained = retrain(pruned, peak, kc.callbacks.KeepSparsity())
            measure(f"{share} %, all weights from {peak}", retrained)
        for arm, mode in (("MaskLoRA", "mask"), ("ScaleLoRA", "scale")):
            pruned.set_weights(weights)
            adapted = kc.retraining.add_mask_lora(pruned, RANK, 2.0 * RANK, mode=mode, seed=seed)
            merged = kc.retraining.merge_lora(retrain(adapted, 1e-2))
            measure(f"{share} %, {arm}", merged)
            trained = sum(int(np.prod(v.shape)) for v in adapted.trainable_variables)
            result.append(f"{share} %, {arm}", TRAINED, 100.0 * trained / pruned.count_params())
            broken += sum(
                int(np.sum((old == 0) != (new == 0)))
                for old, new in zip(weights, merged.get_weights(), strict=True)
                if old.ndim == 2
            )
        start(seed)
        pruned = _network()
        pruned.set_weights(weights)
        report = kc.retraining.perp_retrainable(pruned, ["bias", "norm"])
        arm = f"{share} %, biases and normalization"
        measure(arm, retrain(pruned, 1e-2))
        result.append(arm, TRAINED, 100.0 * report.share)
    return broken
