"""Where pruned networks lie in the loss landscape, by temperature of training.

Claim: Networks pruned from one dense network and retrained with other random numbers find each
other in the same basin and with the same features, networks from different dense networks do not.
How near they are depends on the temperature of the dense training (here the batch size). The rules
that the paper derives from these two numbers are empirical and not part of the package.

Paper: Yang et al., "A Three-regime Model of Network Pruning", ICML 2023, arXiv 2305.18383.

Setting: MNIST, 784-64-64-10 network, 5120 images. Two dense networks for each batch size of 16, 64
and 256, trained for 4 epochs with Adam 0.001; pruned by magnitude to 90 % in every layer; the first
retrained twice with different orders of the images, the second once, for 2 epochs with batches of
64. Connectivity is that of `linear_mode_connectivity` on the training images (negative: a barrier),
CKA the mean over the layers on 2000 test images, agreement and Jensen-Shannon divergence are those
of the test predictions.

Criterion: At every temperature, retrainings of one pruned network have a higher connectivity, CKA
and agreement than pruned networks of different origin.
"""

from __future__ import annotations

import numpy as np

import keras_compress as kc
from evidence.data import take
from evidence.result import Result
from evidence.training import EVALUATION_BATCH, accuracy, compile_classifier, mlp, start

SEEDS = 2
TEMPERATURES = (16, 64, 256)
MEASURES = ("connectivity", "CKA", "agreement")


def run(data, seeds, quick) -> Result:
    result = Result()
    num_train = 1_280 if quick else 5_120
    for seed in seeds:
        for batch_size in TEMPERATURES[-1:] if quick else TEMPERATURES:
            _one_temperature(result, data.mnist, num_train, batch_size, seed)
    for measure in MEASURES:
        gaps = [
            result.center(f"batches of {size}, one origin", measure)
            - result.center(f"batches of {size}, two origins", measure)
            for size in (TEMPERATURES[-1:] if quick else TEMPERATURES)
        ]
        result.at_least(f"smallest lead of one origin in {measure}", min(gaps), 0.0)
    return result


def _one_temperature(result, split, num_train, batch_size, seed):
    ((x, y),) = take(split, seed, num_train)
    pruned = []
    for origin in range(2):
        start(100 * seed + origin)
        dense = compile_classifier(mlp((64, 64)))
        dense.fit(x, y, batch_size=batch_size, epochs=4, verbose=0)
        kc.prune_magnitude(dense, 0.9, scope="layer")
        pruned.append(dense.get_weights())

    def retrained(weights, order):
        start(100 * seed + 10 + order)
        model = compile_classifier(mlp((64, 64)))
        model.set_weights(weights)
        model.fit(x, y, batch_size=64, epochs=2, callbacks=[kc.callbacks.KeepSparsity()], verbose=0)
        return model

    first, again, other = (
        retrained(weights, order) for order, weights in enumerate((pruned[0], pruned[0], pruned[1]))
    )
    x_test = split.x_test[:2000]
    for name, pair in (("one origin", (first, again)), ("two origins", (first, other))):
        arm = f"batches of {batch_size}, {name}"
        path = kc.analysis.linear_mode_connectivity(*pair, (x, y), batch_size=EVALUATION_BATCH)
        cka = kc.analysis.feature_cka(*pair, x_test, batch_size=EVALUATION_BATCH)
        logits = [model.predict(x_test, batch_size=EVALUATION_BATCH, verbose=0) for model in pair]
        values = {
            "connectivity": path.connectivity,
            "CKA": float(np.mean(list(cka.values()))),
            "agreement": kc.analysis.prediction_agreement(*logits),
            "JS divergence": kc.analysis.js_divergence(*logits, from_logits=True),
        }
        for measure, value in values.items():
            result.append(arm, measure, value)
        result.append(arm, "test accuracy %", accuracy(pair[1], split.x_test, split.y_test))
