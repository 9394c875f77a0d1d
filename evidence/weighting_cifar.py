"""Loss-based weights speed up training on CIFAR.

Claim: Weighting the samples of a batch by their losses, best by LinUpper, reaches a given
validation loss in fewer steps than uniform weights.

Paper: Sow et al., "Dynamic Loss-Based Sample Reweighting for Improved Large Language Model
Pretraining", ICLR 2025, arXiv 2502.06733. The paper's claim is about language models of 124
million weights and more; this run asks whether it carries over to a small classifier.

Setting: Three strided convolutions (16, 32, 64) and a linear layer, 7680 images of CIFAR-10, Adam,
batches of 64, 300 steps. `Reweight` with a warm-up of 15 steps. The learning rate is tuned for
uniform weights with 3 runs, then the temperature of each weighting with 3 runs, by the mean
validation loss over the run; fresh seeds afterwards. Counted: steps to an unweighted validation
loss of 1.65, looked at every 20 steps.

Criterion: LinUpper needs at most 0.9 times the steps of uniform weights, and its test accuracy is
not more than 0.5 points lower.
"""

from __future__ import annotations

from dataclasses import replace

from evidence._weighting import Race
from evidence.result import Result
from evidence.training import cnn

SEEDS = 5
RACE = Race(
    build=cnn,
    num_train=7_680,
    num_validation=1_000,
    batch_size=64,
    num_steps=300,
    evaluate_every=20,
    target_loss=1.65,
    learning_rates=(0.001, 0.002, 0.004),
    temperatures=(2.0, 1.0, 0.4),
)


def run(data, seeds, quick) -> Result:
    race = RACE
    if quick:
        race = replace(race, num_steps=100, learning_rates=(0.002,), temperatures=(1.0,))
    return race.run(data.cifar, seeds)
