"""LoRA that starts from the right weights forgets a class sooner than LoRA that starts anywhere.

Claim: An adapter that starts from the part of each kernel that matters for what is to be forgotten
(VILA, FILA by Fisher information; ReGLU by the outputs) needs fewer steps to forget it than one
that starts at random, at the same learning rate, and has not harmed what stays more at that moment.
(Ascent that goes on afterwards harms it in every case.) The start itself changes nothing, and the
result comes off again as a patch.

Paper: Kim et al., "Improving Fisher Information Estimation and Efficiency for LoRA-based LLM
Unlearning", COLM 2025, arXiv 2508.21300; Xiao et al., "Representation-Guided Parameter-Efficient
LLM Unlearning", Findings of ACL 2026, arXiv 2604.17396.

Setting: MNIST, the digit 3 is to be forgotten. A network of two hidden layers (128, 64) learns 8000
images for 4 epochs. Then LoRA of rank 4 on all three layers, all else frozen: 120 steps of Adam
0.0003 on batches of 32 images of the 3 and 32 of other digits, gradient ascent on the 3, descent on
the others. Every 4 steps: accuracy on 3s and on the other digits of the test set. Forgotten means
at most 10 percent of the 3s are recognized. The learning rate was not tuned.

Criterion: VILA and ReGLU forget in at most 0.8 times the steps of random LoRA, and at that moment
recognize the others at most 1 point worse than random LoRA at its moment. No start changes a logit
by more than 0.001, and the old model with the patch on decides like the new one on 99.9 percent.
"""

from __future__ import annotations

import keras
import numpy as np

from evidence.data import take
from evidence.result import Result
from evidence.training import accuracy, compile_classifier, mlp, start
from keras_reweight import WeightSnapshot
from keras_reweight.callbacks import Unlearn
from keras_reweight.data import enable_aux_targets, pack_targets
from keras_reweight.editing import lora_patch, reglu_lora, vila_lora

SEEDS = 3
DIGIT, RANK, BATCH, STEPS, BETWEEN, RATE = 3, 4, 32, 120, 4, 3e-4
WHEN, OTHERS, LAST, REST = (
    "steps until forgotten",
    "others when forgotten %",
    "the 3 at the end %",
    "others at the end %",
)
CHANGE, SAME = "largest change of a logit by the start", "decisions of the patched model alike %"
RANDOM, VILA, REGLU = "random LoRA", "VILA", "ReGLU"
ARMS = (RANDOM, VILA, "FILA", REGLU, "ReGLU without penalty")


def run(data, seeds, quick) -> Result:
    result = Result()
    for seed in seeds:
        ((x, y),) = take(data.mnist, seed, 2_000 if quick else 8_000)
        start(seed)
        model = compile_classifier(mlp((128, 64)))
        model.fit(x, y, batch_size=64, epochs=4, verbose=0)
        sets = _sets(x, y)
        tests = _tests(data.mnist)
        for arm in ARMS:
            _one_arm(result, arm, model, sets, tests, seed)
    for arm in (VILA, REGLU):
        result.at_most(
            f"{arm}: {WHEN}, times those of random LoRA",
            result.center(arm, WHEN) / result.center(RANDOM, WHEN),
            0.8,
        )
        result.at_most(
            f"{arm}: loss of accuracy on others against random LoRA, in points",
            result.center(RANDOM, OTHERS) - result.center(arm, OTHERS),
            1.0,
        )
    changes = [max(row.values) for row in result.rows if row.metric == CHANGE]
    result.at_most(CHANGE, max(changes), 1e-3)
    same = [min(row.values) for row in result.rows if row.metric == SAME]
    result.at_least(SAME, min(same), 99.9)
    return result


def _sets(x, y):
    """What is to be forgotten, and as many others."""
    forget, retain = y == DIGIT, y != DIGIT
    count = int(forget.sum())
    rows = np.flatnonzero(retain)[:count]
    return (x[forget], y[forget]), (x[rows], y[rows])


def _tests(split):
    is_it = split.y_test == DIGIT
    return [(split.x_test[part], split.y_test[part]) for part in (is_it, ~is_it)]


def _one_arm(result, arm, trained, sets, tests, seed):
    start(seed)
    model = compile_classifier(mlp((128, 64)))
    model.set_weights(trained.get_weights())
    before, images = WeightSnapshot(model), tests[1][0][:500]
    logits = model.predict(images, verbose=0)
    _begin(arm, model, *sets)
    result.append(arm, CHANGE, np.abs(model.predict(images, verbose=0) - logits).max())
    path = _unlearn(model, *sets, tests, seed)
    first = next((i for i, (ours, _) in enumerate(path) if ours <= 10.0), len(path) - 1)
    result.append(arm, WHEN, BETWEEN * (first + 1))
    result.append(arm, OTHERS, path[first][1])
    result.append(arm, LAST, path[-1][0])
    result.append(arm, REST, path[-1][1])
    everything = np.concatenate([x for x, _ in tests])
    new = model.predict(everything, batch_size=1000, verbose=0).argmax(axis=-1)
    patch = lora_patch(model, before)
    old = compile_classifier(mlp((128, 64)))
    old.set_weights(trained.get_weights())
    with patch.patched(old):
        patched = old.predict(everything, batch_size=1000, verbose=0).argmax(axis=-1)
    result.append(arm, SAME, 100.0 * np.mean(patched == new))


def _begin(arm, model, forget, retain):
    if arm == RANDOM:
        for layer in model.layers:
            if isinstance(layer, keras.layers.Dense):
                layer.enable_lora(RANK)
                layer.bias.trainable = False
    elif arm.startswith(REGLU):
        penalty = 0.0 if arm.endswith("penalty") else 0.5
        reglu_lora(model, forget, retain, rank=RANK, penalty=penalty)
    else:
        vila_lora(model, forget, retain, rank=RANK, importance=arm.lower())


def _unlearn(model, forget, retain, tests, seed):
    """Accuracies on what is to be forgotten and on the rest, after every few steps."""
    path = []

    class Measure(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            path.append(tuple(accuracy(self.model, *test) for test in tests))

    compile_classifier(model, RATE)
    enable_aux_targets(model)
    model.fit(
        _Mixed(forget, retain, seed),
        epochs=STEPS // BETWEEN,
        verbose=0,
        callbacks=[Unlearn(None, retain_weight=1.0), Measure()],
    )
    return path


class _Mixed(keras.utils.PyDataset):
    """Batches of which one half is to be forgotten, others in every epoch."""

    def __init__(self, forget, retain, seed):
        super().__init__()
        self.parts, self.seed, self.epoch = (forget, retain), seed, 0

    def __len__(self):
        return BETWEEN

    def __getitem__(self, index):
        generator = np.random.default_rng([self.seed, self.epoch, index])
        rows = [generator.integers(0, len(y), BATCH) for _, y in self.parts]
        x, y = (
            np.concatenate([part[i][chosen] for part, chosen in zip(self.parts, rows, strict=True)])
            for i in (0, 1)
        )
        return x, pack_targets(y, group=np.repeat(np.array([1, 0], "int32"), BATCH))

    def on_epoch_end(self):
        self.epoch += 1
