"""Winning tickets: sparse networks that learn well from where the dense one began.

Claim: What iterative pruning with rewinding leaves learns better from its own initial weights than
the same connections do from other random weights, and much better than random connections; keeping
the trained weights and repeating the training is as good.

Paper: Frankle and Carbin, "The Lottery Ticket Hypothesis", arXiv 1803.03635; Renda et al.,
"Comparing Rewinding and Fine-tuning in Neural Network Pruning", arXiv 2003.02389.

Setting: MNIST, 784-300-100-10 network, 10240 images, 4 epochs a round, Adam 0.0012 with batches of
60 as in the paper; `iterative_prune` prunes 44 % of what is left in each of 6 rounds, by magnitude
in each layer. At 90 % (round 4) and 97 % (round 6) the connections are trained again for the same 4
epochs under `KeepSparsity`: from other initial weights ("re-initialized"), and with as many random
connections in each layer ("random connections").

Criterion: At 97 % the ticket is at least half a point better than re-initialized, at 90 % it is not
worse; at 90 % it is at most half a point below the dense network.
"""

from __future__ import annotations

import keras
import numpy as np

from evidence.data import take
from evidence.result import Result
from evidence.training import accuracy, mlp, start
from keras_compress.callbacks import KeepSparsity
from keras_compress.pruning import UniformAllocation
from keras_compress.retraining import iterative_prune

SEEDS = 3
AMOUNT, ROUNDS = 0.44, {4: "90 %", 6: "97 %"}
ACCURACY = "test accuracy %"


def run(data, seeds, quick) -> Result:
    result = Result()
    for seed in seeds:
        _one_seed(result, data.mnist, seed, quick)
    for sparsity, limit in (("97 %", 0.5), ("90 %", 0.0)):
        result.at_least(
            f"ticket minus re-initialized at {sparsity}, in points",
            result.center(f"{sparsity} ticket", ACCURACY)
            - result.center(f"{sparsity} re-initialized", ACCURACY),
            limit,
        )
    result.at_least(
        "ticket at 90 % minus dense, in points",
        result.center("90 % ticket", ACCURACY) - result.center("dense", ACCURACY),
        -0.5,
    )
    return result


def _one_seed(result, split, seed, quick):
    ((x, y),) = take(split, seed, 1_920 if quick else 10_240)

    def fit(model, callbacks):
        keras.utils.set_random_seed(seed)
        model.fit(x, y, batch_size=60, epochs=1 if quick else 4, callbacks=callbacks, verbose=0)
        return {ACCURACY: accuracy(model, split.x_test, split.y_test)}

    for arm, rewind in (("ticket", "initial"), ("learning rate rewinding", "learning_rate")):
        start(seed)
        rounds = iterative_prune(
            _compiled(),
            fit,
            rounds=max(ROUNDS),
            amount=AMOUNT,
            rewind=rewind,
            allocation=UniformAllocation(min_keep=0.0),
        )
        for index, sparsity in ROUNDS.items():
            result.append(f"{sparsity} {arm}", ACCURACY, rounds[index].metrics[ACCURACY])
        if rewind == "initial":
            result.append("dense", ACCURACY, rounds[0].metrics[ACCURACY])
            tickets = {ROUNDS[index]: list(rounds[index].masks.values()) for index in ROUNDS}
    rng = np.random.default_rng([seed, 7])
    for sparsity, masks in tickets.items():
        shuffled = [rng.permutation(mask.ravel()).reshape(mask.shape) for mask in masks]
        for arm, kept in (("re-initialized", masks), ("random connections", shuffled)):
            start(seed + 1000)
            model = _compiled()
            kernels = [v for v in model.trainable_variables if len(v.shape) == 2]
            for kernel, mask in zip(kernels, kept, strict=True):
                kernel.assign(keras.ops.convert_to_numpy(kernel.value) * mask)
            result.append(f"{sparsity} {arm}", ACCURACY, fit(model, [KeepSparsity()])[ACCURACY])


def _compiled():
    model = mlp((300, 100))
    model.compile(
        keras.optimizers.Adam(0.0012),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    return model
