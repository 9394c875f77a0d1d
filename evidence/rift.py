"""Fine-tuning one layer of a robust model wins clean accuracy and keeps its robustness.

Claim: An adversarially trained network has a layer whose perturbation hardly costs robustness.
Training that layer alone on clean images and going back towards the robust weights until the
robust accuracy is kept raises the clean accuracy.

Paper: Zhu et al., "Improving Generalization of Adversarial Training via Robust Critical
Fine-Tuning", ICCV 2023, arXiv 2308.02533. The paper reports 1.5 points for ResNets on CIFAR-10;
this run asks what a small network gains.

Setting: CIFAR-10, 5000 training images, 1000 others to choose with, 2000 test images (1000 of them
attacked); three convolutions and a dense layer. Adversarial training: 6 epochs of Adam, batches of
128, signed gradient steps (3 of them) inside 4/255. `module_criticality` on adversarial images of
500 of the 1000 images. Fine-tuning: SGD 0.01 with momentum 0.9 and weight decay 0.0005, 4 epochs on
the clean training images. `select_interpolation` in steps of 0.2 on the 1000 images, robustness
against 5 steps, tolerance of 0.1 points. Arms: the layer of lowest criticality (`rift`), that of
highest, all layers; each chosen in the same way. Test robustness: 10 steps.

Criterion: The least critical layer gains at least 0.5 points of clean test accuracy and loses at
most 0.5 points of robust test accuracy; the model is left bit for bit as it was; the least critical
layer is the same in at least two of three seeds.
"""

from __future__ import annotations

import keras
import numpy as np

import keras_reweight as kr
from evidence._pgd import Attack, train_adversarially
from evidence.result import Result
from evidence.training import EVALUATION_BATCH, accuracy, cnn, compile_classifier, start

SEEDS = 3
RADIUS, BATCH = 4 / 255, 128
ALPHAS = (0.2, 0.4, 0.6, 0.8, 1.0)
CLEAN, ROBUST, ALPHA = "clean accuracy %", "robust accuracy %", "alpha"
BEFORE, LEAST = "adversarially trained", "least critical layer (rift)"
MOST, EVERY = "most critical layer", "all layers"


def run(data, seeds, quick) -> Result:
    result = Result()
    epochs = (1, 1) if quick else (6, 4)
    found = [_one_seed(result, data.cifar, seed, epochs) for seed in seeds]
    result.at_least(
        "gain of clean accuracy, in points",
        result.center(LEAST, CLEAN) - result.center(BEFORE, CLEAN),
        0.5,
    )
    result.at_most(
        "loss of robust accuracy, in points",
        result.center(BEFORE, ROBUST) - result.center(LEAST, ROBUST),
        0.5,
    )
    result.at_least("share of runs left as they were", np.mean([same for _, same in found]), 1.0)
    least = [position for position, _ in found]
    result.at_least(
        "seeds with the most frequent least critical layer",
        max(least.count(position) for position in least),
        min(2, len(seeds)),
    )
    return result


def _one_seed(result, split, seed, epochs):
    rows = np.random.default_rng(seed).permutation(len(split.y_train))
    train, chosen = rows[:5000], rows[5000:6000]
    x, y = split.x_train[train], split.y_train[train]
    x_choice, y_choice = split.x_train[chosen], split.y_train[chosen]
    start(seed)
    model = compile_classifier(cnn())
    train_adversarially(
        model, Attack(model, RADIUS, 3), x, y, epochs=epochs[0], batch=BATCH, seed=seed
    )
    before = kr.weight_digest(model)
    choosing, testing = (Attack(model, RADIUS, steps, random_start=False) for steps in (5, 10))

    def measure(arm):
        result.append(arm, CLEAN, accuracy(model, split.x_test, split.y_test))
        images, labels = split.x_test[:1000], split.y_test[:1000]
        attacked = testing.on_all(images, labels, EVALUATION_BATCH, seed)
        result.append(arm, ROBUST, accuracy(model, attacked, labels))

    def tune(model):
        start_rate = keras.optimizers.SGD(0.01, momentum=0.9, weight_decay=5e-4)
        model.compile(start_rate, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        keras.utils.set_random_seed(seed)
        model.fit(x, y, batch_size=BATCH, epochs=epochs[1], verbose=0)

    def clean(model):
        return accuracy(model, x_choice, y_choice) / 100.0

    def robust(model):
        attacked = choosing.on_all(x_choice, y_choice, EVALUATION_BATCH, seed)
        return accuracy(model, attacked, y_choice) / 100.0

    measure(BEFORE)
    attacked = choosing.on_all(x_choice[:500], y_choice[:500], EVALUATION_BATCH, seed)
    criticality = kr.editing.module_criticality(model, (attacked, y_choice[:500]))
    names = {f"layer {number}": path for number, path in enumerate(criticality, start=1)}
    for name, path in names.items():
        result.append(name, "criticality", criticality[path])
    order = sorted(criticality, key=criticality.__getitem__)
    arms = {LEAST: order[0], MOST: order[-1], EVERY: None}
    for arm, path in arms.items():
        every = [layer for layer in model.layers if layer.weights]
        chosen_layers = every if path is None else path.split("/")[-2]
        choice = kr.editing.rift(
            model, tune, score=clean, constraint=robust, layers=chosen_layers, alphas=ALPHAS
        )
        with choice.patch.patched(model):
            measure(arm)
        result.append(arm, ALPHA, choice.alpha)
        # The far end, where nothing holds the fine-tuning back.
        if choice.alpha > 0.0:
            with (choice.patch * (1.0 / choice.alpha)).patched(model):
                measure(f"{arm}, alpha=1")
    return list(criticality).index(order[0]), kr.weight_digest(model) == before
