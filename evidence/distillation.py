"""Ranking the classes as the teacher does helps a small student.

Claim: Plackett-Luce distillation, one loss of label and teacher without a mixing weight, gives a
small student trained on few samples a better accuracy than the labels alone, and no worse a one
than soft targets (knowledge distillation).

Paper: Bassam, Zhu and Bian, "PLD: A Choice-Theoretic List-Wise Knowledge Distillation",
arXiv 2506.12542.

Setting: MNIST. Teacher: 784-256-128-10 network, 10000 images, 8 epochs. Student: 784-16-10 network,
300 images, Adam 0.003, batches of 32, 60 epochs, weights of the last step. Soft targets: Keras'
`LogitsDistillation` with temperature 2 and a share of 0.1 for the labels, in `WeightedDistiller`.
Accuracy on 10000 test images.

Criterion: The mean accuracy of PLD is at least that of the labels alone, and at most one point
below that of soft targets.
"""

from __future__ import annotations

import keras

from evidence.data import take
from evidence.result import Result
from evidence.training import accuracy, compile_classifier, mlp, start
from keras_reweight.distillation import PLDDistiller, WeightedDistiller

SEEDS = 5
ACCURACY = "test accuracy %"
LABELS, SOFT, PLD = "labels alone", "soft targets", "PLD"


def run(data, seeds, quick) -> Result:
    result = Result()
    for seed in seeds:
        start(seed)
        large, (x, y) = take(data.mnist, seed, 10_000, 300)
        teacher = compile_classifier(mlp((256, 128)))
        teacher.fit(*large, batch_size=64, epochs=1 if quick else 8, verbose=0)
        x_test, y_test = data.mnist.x_test, data.mnist.y_test
        result.append("teacher", ACCURACY, accuracy(teacher, x_test, y_test))
        for arm in (LABELS, SOFT, PLD):
            keras.utils.set_random_seed(seed)
            student = mlp((16,))
            trained = _wrapped(arm, teacher, student)
            trained.compile(
                keras.optimizers.Adam(3e-3),
                keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            )
            trained.fit(x, y, batch_size=32, epochs=4 if quick else 60, verbose=0)
            result.append(arm, ACCURACY, accuracy(student, x_test, y_test))
    gain = result.center(PLD, ACCURACY) - result.center(LABELS, ACCURACY)
    result.at_least(f"{PLD} minus {LABELS}, in points", gain, 0.0)
    gain = result.center(PLD, ACCURACY) - result.center(SOFT, ACCURACY)
    result.at_least(f"{PLD} minus {SOFT}, in points", gain, -1.0)
    return result


def _wrapped(arm, teacher, student):
    if arm == LABELS:
        return student
    if arm == PLD:
        return PLDDistiller(teacher, student)
    soft = keras.distillation.LogitsDistillation(2.0)
    return WeightedDistiller(teacher, student, distillation_losses=soft, student_loss_weight=0.1)
