"""Soups of fine-tuned models against the best of them, and merged tasks against each other.

Claim: A greedy soup is on held-out data never worse than the best single model, and on test data
about as good or better, where the plain average is spoiled by its worst ingredient. Models that
were fine-tuned for different kinds of images merge into one that reads them all.

Paper: Wortsman et al., "Model soups", ICML 2022, arXiv 2203.05482; Yadav et al., "TIES-Merging",
NeurIPS 2023, arXiv 2306.01708; Yu et al., "Language Models are Super Mario" (DARE), ICML 2024,
arXiv 2311.03099; Davari and Belilovsky, "Model Breadcrumbs", ECCV 2024, arXiv 2312.06795; Jang et
al., "Model Stock", ECCV 2024, arXiv 2403.19522.

Setting: MNIST, two convolutions with batch normalization and a dense layer. Start: 2 epochs on 3000
images. Soups: six recipes from this start (rates from 0.003 to 0.5, one to three epochs, clean or
noisy images) on 4000 other images; 2000 held-out images choose, 10000 test images judge; moving
statistics estimated on 500 of the training images where a row says so, else averaged. Tasks: from
the start, 3 epochs each on the same 4000 images with noise (sigma 0.6), moved to the right, and
moved down by 4 pixels; the accuracies on the three kinds of the test images are averaged. The
strength of each merge is the best of 0.25, 0.5, 0.75 and 1 on held-out images, statistics estimated
on 150 training images of each kind. `density` 0.2 for TIES and breadcrumbs, 0.5 for DARE.

Criterion: In every run the greedy soup scores at least as much as the best single model on held-out
images; on average its test accuracy is at most 0.5 points below that of the single model which is
best on held-out images, and at least that of the plain average. On the three tasks TIES, DARE and
breadcrumbs are at most 2 points below the plain sum of task vectors, which gains at least 10 points
on the start.
"""

from __future__ import annotations

import contextlib

import keras
import numpy as np
from keras import layers

from evidence.data import NUM_CLASSES, add_noise, take
from evidence.result import Result
from evidence.training import accuracy
from keras_reweight import WeightSnapshot, merging
from keras_reweight.signatures import reestimate_batch_norm

SEEDS = 3
TEST, HELD_OUT, TASKS = "test accuracy %", "held-out accuracy %", "mean accuracy of the tasks %"
#: Rate, epochs, and noise of the training images.
RECIPES = (
    (0.003, 2, 0.0),
    (0.01, 3, 0.2),
    (0.03, 2, 0.0),
    (0.03, 3, 0.4),
    (0.1, 2, 0.2),
    (0.5, 1, 0.0),
)
#: The same images in three ways.
KINDS = {
    "noisy": lambda x: add_noise(x, 0.6, 7),
    "moved to the right": lambda x: np.roll(x, 4, axis=2),
    "moved down": lambda x: np.roll(x, 4, axis=1),
}
STRENGTHS = (0.25, 0.5, 0.75, 1.0)
MERGES = {
    "task arithmetic": merging.task_arithmetic,
    "TIES": lambda model, tuned: merging.ties(model, tuned, density=0.2),
    "DARE": lambda model, tuned: merging.dare(model, tuned, density=0.5),
    "breadcrumbs": lambda model, tuned: merging.breadcrumbs(model, tuned, density=0.2),
    "model stock": merging.model_stock,
}


def build() -> keras.Model:
    def convolution(filters):
        return [
            layers.Conv2D(filters, 3, strides=2, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
        ]

    head = [layers.Flatten(), layers.Dense(NUM_CLASSES)]
    return keras.Sequential([keras.Input((28, 28, 1)), *convolution(8), *convolution(16), *head])


def fit(model, x, y, rate, epochs) -> None:
    """Train from the present weights as a fresh optimizer would."""
    for variable in model.optimizer.variables:
        variable.assign(np.zeros(variable.shape, variable.dtype))
    model.optimizer.learning_rate = rate
    model.fit(x, y, batch_size=64, epochs=epochs, verbose=0)


def run(data, seeds, quick) -> Result:
    result = Result()
    never_worse = []
    model = build()
    # Once for all trainings, which differ in their rates alone: compiling takes longer than they.
    model.compile(
        keras.optimizers.SGD(0.1, momentum=0.9),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    for seed in seeds:
        sizes = (1000, 1000, 500) if quick else (3000, 4000, 2000)
        first, train, held_out = take(data.mnist, seed, *sizes)
        keras.utils.set_random_seed(seed)
        model.set_weights(build().get_weights())
        fit(model, *first, 0.03, 2)
        pretrained = WeightSnapshot(model)
        test = (data.mnist.x_test, data.mnist.y_test)
        never_worse.append(_soups(result, model, pretrained, train, held_out, test))
        pretrained.restore(model)
        _tasks(result, model, pretrained, train, held_out, test)
    _check(result, never_worse)
    return result


def _soups(result, model, pretrained, train, held_out, test) -> bool:
    x, y = train
    tuned = []
    for place, (rate, epochs, sigma) in enumerate(RECIPES):
        pretrained.restore(model)
        fit(model, add_noise(x, sigma, place) if sigma else x, y, rate, epochs)
        tuned.append(WeightSnapshot(model))

    def note(arm, patch=None, estimate=False):
        with contextlib.ExitStack() as stack:
            if patch is not None:
                stack.enter_context(patch.patched(model))
            if estimate:
                stack.enter_context(reestimate_batch_norm(model, x[:500]).patched(model))
            result.append(arm, HELD_OUT, accuracy(model, *held_out))
            result.append(arm, TEST, accuracy(model, *test))

    singles = []
    for snapshot in tuned:
        snapshot.restore(model)
        singles.append((accuracy(model, *held_out), accuracy(model, *test)))
    best = max(singles, key=lambda pair: pair[0])
    for metric, value in zip((HELD_OUT, TEST), best, strict=True):
        result.append("best single model", metric, value)
    for metric, values in zip((HELD_OUT, TEST), zip(*singles, strict=True), strict=True):
        result.append("mean of the single models", metric, float(np.mean(values)))
    pretrained.restore(model)
    note("start")
    uniform = merging.uniform_soup(model, tuned)
    note("uniform soup, averaged statistics", uniform)
    note("uniform soup", uniform, estimate=True)
    note("model stock", merging.model_stock(model, tuned), estimate=True)
    note("learned soup", merging.learned_soup(model, tuned, data=held_out), estimate=True)
    greedy = merging.greedy_soup(
        model, tuned, score=lambda model: accuracy(model, *held_out), batch_norm_data=x[:500]
    )
    note("greedy soup", greedy)
    result.append("greedy soup", "models in it", len(greedy.ingredients))
    pretrained.restore(model)
    plain = merging.greedy_soup(model, tuned, score=lambda model: accuracy(model, *held_out))
    note("greedy soup, averaged statistics", plain)
    return min(greedy.score - max(greedy.scores), plain.score - best[0]) >= 0.0


def _tasks(result, model, pretrained, train, held_out, test) -> None:
    x, y = train
    tuned = []
    for kind in KINDS.values():
        pretrained.restore(model)
        fit(model, kind(x), y, 0.03, 3)
        tuned.append(WeightSnapshot(model))
    estimation = np.concatenate([kind(x[:150]) for kind in KINDS.values()])

    def mean_accuracy(data):
        return float(np.mean([accuracy(model, kind(data[0]), data[1]) for kind in KINDS.values()]))

    for name, snapshot in zip(KINDS, tuned, strict=True):
        snapshot.restore(model)
        result.append(f"fine-tuned on {name} images", TASKS, mean_accuracy(test))
    pretrained.restore(model)
    result.append("start", TASKS, mean_accuracy(test))
    for name, merge in MERGES.items():
        patch = merge(model, tuned)

        def judged(strength, data, patch=patch):
            with patch.patched(model, strength):
                with reestimate_batch_norm(model, estimation).patched(model):
                    return mean_accuracy(data)

        found = {strength: judged(strength, held_out) for strength in STRENGTHS}
        chosen = max(found, key=found.get)
        result.append(name, TASKS, judged(chosen, test))
        result.append(name, "strength", chosen)


def _check(result, never_worse) -> None:
    greedy = result.center("greedy soup", TEST)
    result.at_least("share of runs in which greedy is no worse", float(np.mean(never_worse)), 1.0)
    result.at_least(
        "greedy minus best single, test, in points",
        greedy - result.center("best single model", TEST),
        -0.5,
    )
    result.at_least(
        "greedy minus uniform, test, in points", greedy - result.center("uniform soup", TEST), 0.0
    )
    plain = result.center("task arithmetic", TASKS)
    result.at_least(
        "task arithmetic minus start, in points", plain - result.center("start", TASKS), 10.0
    )
    for name in ("TIES", "DARE", "breadcrumbs"):
        gain = result.center(name, TASKS) - plain
        result.at_least(f"{name} minus task arithmetic, in points", gain, -2.0)
