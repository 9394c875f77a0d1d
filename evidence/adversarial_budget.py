"""Adversarial training for the price of a few plain passes.

Claim: Replayed batches with a perturbation that is carried on ("free"), and one step from a random
start ("fast"), make a network nearly as robust as an attack of seven steps does, with a part of the
gradients.

Paper: Shafahi et al., "Adversarial Training for Free!", NeurIPS 2019, arXiv 1904.12843; Wong et
al., "Fast is better than free", ICLR 2020, arXiv 2001.03994.

Setting: MNIST, 4000 images, radius 0.1, a dense network (256, 128), Adam 0.001, batches of 100, 12
passes over the data for every arm. Free: 4 replays. Fast: FGSM with a uniform start and steps of
1.25 radii. FGSM: from the sample itself. PGD-7: 7 steps of a quarter of the radius. 1000 test
images: clean, and PGD with 20 steps of an eighth of the radius. Gradients: forward and backward
passes of a batch over the training.

Criterion: Free and fast training lie at most 5 points below PGD-7 training under PGD-20, with at
most half of its gradients, and at least 30 points above plain training.
"""

from __future__ import annotations

import keras
import numpy as np

from evidence.data import take
from evidence.result import Result
from evidence.training import mlp, start
from keras_reweight import adversarial, attacks

SEEDS = 3
RADIUS, BATCH, REPLAYS, NUM_TRAIN, EPOCHS = 0.1, 100, 4, 4_000, 12
CLEAN, ROBUST, GRADIENTS = "clean %", "PGD-20 %", "gradients of a batch"
PLAIN, PGD, FREE, FAST, FGSM = "plain", "PGD-7", "free", "fast", "FGSM"
#: Forward and backward passes for each batch of a pass over the data.
COST = {PLAIN: 1, FGSM: 2, FAST: 2, FREE: REPLAYS, PGD: 8}


def run(data, seeds, quick) -> Result:
    result = Result()
    num_train, epochs = (1_000, 2) if quick else (NUM_TRAIN, EPOCHS)
    for seed in seeds:
        ((x, y),) = take(data.mnist, seed, num_train)
        for arm, cost in COST.items():
            model = _trained(arm, x, y, epochs, seed)
            result.append(arm, GRADIENTS, cost * epochs * -(-num_train // BATCH))
            for metric, value in _measured(model, data.mnist).items():
                result.append(arm, metric, value)
    robust = {arm: result.center(arm, ROBUST) for arm in COST}
    for arm in (FREE, FAST):
        result.at_most(f"{PGD} minus {arm} under PGD-20, in points", robust[PGD] - robust[arm], 5.0)
        part = result.center(arm, GRADIENTS) / result.center(PGD, GRADIENTS)
        result.at_most(f"gradients of {arm} in those of {PGD}", part, 0.5)
        gain = robust[arm] - robust[PLAIN]
        result.at_least(f"{arm} minus {PLAIN} under PGD-20, in points", gain, 30.0)
    return result


def _trained(arm, x, y, epochs, seed):
    start(seed)
    model = mlp((256, 128))
    trainer = _trainer(arm, model)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    trainer.compile(keras.optimizers.Adam(1e-3), loss)
    trainer.fit(x, y, batch_size=BATCH, epochs=epochs, verbose=0)
    return model


def _trainer(arm, model):
    if arm == PLAIN:
        return model
    if arm == FREE:
        return adversarial.FreeAdversarialTraining(model, RADIUS, replays=REPLAYS, batch_size=BATCH)
    attack = {
        FGSM: attacks.FGSM(RADIUS),
        FAST: attacks.FGSM(RADIUS, start="uniform"),
        PGD: attacks.PGD(RADIUS, step_size=RADIUS / 4, steps=7),
    }[arm]
    return adversarial.AdversarialTraining(model, attack)


def _measured(model, split):
    x, y = split.x_test[:1000], split.y_test[:1000]
    attack = attacks.PGD(RADIUS, step_size=RADIUS / 8, steps=20, seed=11)
    inputs = {CLEAN: x, ROBUST: attack(model, x, y, batch_size=500)}
    return {
        name: 100.0 * np.mean(model.predict(found, batch_size=500, verbose=0).argmax(axis=1) == y)
        for name, found in inputs.items()
    }
