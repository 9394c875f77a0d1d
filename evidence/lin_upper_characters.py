"""LinUpper does no harm to a small character model.

Claim: Weighting sequences by LinUpper of their losses improves large language models; on a small
character model it is expected to change little.

Paper: Sow et al., "Dynamic Loss-Based Sample Reweighting for Improved Large Language Model
Pretraining", ICLR 2025, arXiv 2502.06733. Its models have 124 million weights and more, this one
80000.

Setting: Tiny Shakespeare, 90 % for training. GRU of 128 units over 64 characters, Adam 0.003,
batches of 32 random windows, 600 steps; `Reweight` per sequence with a warm-up of 30 steps. Loss on
1000 windows of the last tenth, never weighted.

Criterion: The validation loss of LinUpper (1.0) is at most 0.02 nats above that of uniform weights.
"""

from __future__ import annotations

import keras
import numpy as np

from evidence._characters import LENGTH, cross_entropy, encode, mean_loss, network, windows
from evidence.result import Result
from evidence.training import start
from keras_reweight.callbacks import Reweight
from keras_reweight.weightings import LinUpper

SEEDS = 3
BATCH, STEPS = 32, 600
LOSS = "validation loss"
ARMS = {"uniform": None, "LinUpper(1.0)": LinUpper(1.0), "LinUpper(0.4)": LinUpper(0.4)}


def run(data, seeds, quick) -> Result:
    result = Result()
    ids, num_characters = encode(data.shakespeare)
    cut = int(0.9 * len(ids))
    steps = 40 if quick else STEPS
    for seed in seeds:
        generator = np.random.default_rng([seed, 13])
        x, y = windows(ids, generator.integers(0, cut - LENGTH - 1, steps * BATCH))
        held_out = windows(ids, generator.integers(cut, len(ids) - LENGTH - 1, 1000))
        for arm, weighting in ARMS.items():
            start(seed)
            model = network(num_characters)
            model.compile(keras.optimizers.Adam(3e-3), cross_entropy())
            callbacks = [] if weighting is None else [Reweight(weighting, warmup_steps=30)]
            model.fit(x, y, batch_size=BATCH, shuffle=False, callbacks=callbacks, verbose=0)
            result.append(arm, LOSS, mean_loss(model, *held_out))
    change = result.center("LinUpper(1.0)", LOSS) - result.center("uniform", LOSS)
    result.at_most("LinUpper(1.0) minus uniform, in nats", change, 0.02)
    return result
