"""Attacks against those of torchattacks and foolbox, on the same weights.

`python -m benchmarks.attacks_peer --data cifar10_12k.npz` trains a small convolutional network with
Keras on torch and attacks it with our attacks and with theirs: the same model object, the same
images, the same starts and steps. Compared are the adversarial images, the
accuracy that is left, and the time, in turns with one thread. A line of JSON for each pair.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import time
from unittest import mock

os.environ["KERAS_BACKEND"] = "torch"

import numpy as np

EPSILON, STEPS, L2_EPSILON = 8 / 255, 10, 0.5
STEP, L2_STEP = EPSILON / 4, L2_EPSILON / 4
ADAPTIVE_STEPS = 20
TOLERANCE = 1e-5


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.attacks_peer", description=__doc__)
    parser.add_argument("--data", required=True, help="file with CIFAR images as arrays")
    parser.add_argument("--rounds", type=int, default=7, help="timed calls of each attack")
    parser.add_argument("--images", type=int, default=512, help="images to attack")
    parser.add_argument("--epochs", type=int, default=4, help="epochs of training")
    arguments = parser.parse_args()
    try:
        import foolbox  # noqa: F401
        import torchattacks  # noqa: F401
    except ImportError as error:
        print(
            f"{error}. Install the peers: pip install foolbox, and pip install --no-deps "
            "torchattacks (its other requirements are not needed here).",
            file=sys.stderr,
        )
        return 2
    import torch

    torch.set_num_threads(1)
    model, x, y = _trained(arguments.data, arguments.images, arguments.epochs)
    for arm, (ours, theirs) in _pairs(model).items():
        print(json.dumps(_compare(arm, model, ours, theirs, x, y, arguments.rounds)), flush=True)
    return 0


def _trained(path, images, epochs):
    import keras

    keras.utils.set_random_seed(0)
    with np.load(path, allow_pickle=False) as file:
        x, y = file["x_train"].astype("float32") / 255.0, file["y_train"].reshape(-1)
        x_test, y_test = file["x_test"].astype("float32") / 255.0, file["y_test"].reshape(-1)
    stack = [keras.Input(x.shape[1:])]
    for filters in (16, 32, 64):
        stack.append(keras.layers.Conv2D(filters, 3, strides=2, padding="same", activation="relu"))
        stack.append(keras.layers.BatchNormalization())
    model = keras.Sequential([*stack, keras.layers.Flatten(), keras.layers.Dense(10)])
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    rows = np.random.default_rng(0).permutation(len(x))
    model.fit(x[rows], y[rows], batch_size=64, epochs=epochs, verbose=0)
    # Theirs leave alone what is wrong already, ours attack it: only right ones are comparable.
    right = model.predict(x_test, batch_size=256, verbose=0).argmax(axis=1) == y_test
    rows = np.random.default_rng(1).permutation(np.flatnonzero(right))[:images]
    return model, x_test[rows], y_test[rows].astype("int64")


def _pairs(model):
    """Name to (ours, theirs): functions of images and labels, arrays and tensors."""
    import foolbox
    import torchattacks

    from keras_reweight.attacks import APGD, FGSM, PGD, Ball

    module = _as_module(model)
    bounded = foolbox.PyTorchModel(module, bounds=(0, 1))
    ball, l2_ball = Ball(EPSILON), Ball(L2_EPSILON, norm="l2")
    linf = {"step_size": STEP, "steps": STEPS}
    pgd = PGD(ball, start="none", **linf)
    l2 = PGD(l2_ball, start="none", step_size=L2_STEP, steps=STEPS)
    # From the image itself the divergence has no slope: both begin at our noise.
    trades = PGD(ball, start="gaussian", loss="kl", **linf)
    noise = {"randn_like": lambda tensor: _noise(trades, tensor)}

    def of_foolbox(attack, epsilon):
        def run(x, y):
            return attack.run(bounded, x, foolbox.criteria.Misclassification(y), epsilon=epsilon)

        return run

    class Surface(Ball):
        """Starts where theirs does: on the surface, along the same random numbers."""

        def start(self, x, kind, seed, counter):
            way = 2.0 * _uniform(x.shape) - 1.0
            longest = way.reshape(len(x), -1).abs().max(dim=1)[0].reshape(-1, 1, 1, 1)
            return self.project(x + self.epsilon * way / longest, x)

    def adaptive(loss, short):
        theirs = torchattacks.APGD(module, eps=EPSILON, steps=ADAPTIVE_STEPS, loss=short)
        ours = APGD(Surface(EPSILON), steps=ADAPTIVE_STEPS, loss=loss)
        return ours, _patched(theirs, {"rand": _uniform})

    relative = {"random_start": False, "steps": STEPS}
    return {
        "FGSM, torchattacks": (FGSM(ball), torchattacks.FGSM(module, eps=EPSILON)),
        "FGSM, foolbox": (
            FGSM(ball),
            of_foolbox(foolbox.attacks.LinfFastGradientAttack(), EPSILON),
        ),
        "PGD, torchattacks": (
            pgd,
            torchattacks.PGD(module, eps=EPSILON, alpha=STEP, steps=STEPS, random_start=False),
        ),
        "PGD, foolbox": (
            pgd,
            of_foolbox(foolbox.attacks.LinfPGD(abs_stepsize=STEP, **relative), EPSILON),
        ),
        "PGD in L2, torchattacks": (
            l2,
            torchattacks.PGDL2(
                module, eps=L2_EPSILON, alpha=L2_STEP, steps=STEPS, random_start=False
            ),
        ),
        "PGD in L2, foolbox": (
            l2,
            of_foolbox(foolbox.attacks.L2PGD(abs_stepsize=L2_STEP, **relative), L2_EPSILON),
        ),
        "PGD of TRADES, torchattacks": (
            trades,
            _patched(torchattacks.TPGD(module, eps=EPSILON, alpha=STEP, steps=STEPS), noise),
        ),
        "APGD, torchattacks": adaptive("crossentropy", "ce"),
        "APGD of DLR, torchattacks": adaptive("dlr", "dlr"),
    }


def _as_module(model):
    """The Keras model as a module whose modes of training nobody changes."""
    import torch

    class Module(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.device_marker = torch.nn.Parameter(torch.zeros(1))

        def forward(self, x):
            return model(x, training=False)

    return Module().eval()


def _uniform(shape):
    """Uniform numbers that depend on the shape alone."""
    import torch

    from keras_reweight.core.counter_random import uniform_like

    columns = torch.zeros(shape[0], int(np.prod(shape[1:])))
    return uniform_like(columns, 0, 0).reshape(shape)


def _noise(attack, tensor):
    """The standard normal numbers with which our attack begins on the first batch."""
    from keras_reweight.core.counter_random import normal_like

    return normal_like(tensor.reshape(len(tensor), -1), attack.seed, 0).reshape(tensor.shape)


def _patched(attack, functions):
    """The attack with functions of torch replaced while it runs."""
    import torch

    def run(x, y):
        with contextlib.ExitStack() as stack:
            for name, function in functions.items():
                stack.enter_context(mock.patch.object(torch, name, function))
            return attack(x, y)

    return run


def _compare(arm, model, ours, theirs, x, y, rounds):
    import torch

    images, labels = torch.tensor(x), torch.tensor(y)

    def run_ours():
        return ours(model, x, y, batch_size=len(x))

    def run_theirs():
        return theirs(images, labels).detach().numpy()

    found = [run() for run in (run_ours, run_theirs)]
    seconds = [[], []]
    for number in range(rounds):
        order = ((0, run_ours), (1, run_theirs))
        for place, run in order if number % 2 else order[::-1]:
            began = time.perf_counter()
            run()
            seconds[place].append(time.perf_counter() - began)
    accuracies = [_accuracy(model, moved, y) for moved in found]
    differences = np.abs(found[0] - found[1]).reshape(len(x), -1).max(axis=1)
    if arm.startswith("APGD"):
        # Where it fails, theirs gives the image back, ours the point of the highest loss.
        fooled = model.predict(found[1], batch_size=256, verbose=0).argmax(axis=1) != y
        differences = differences[fooled]
    return {
        "arm": arm,
        "clean accuracy %": _accuracy(model, x, y),
        "accuracy %": accuracies[0],
        "their accuracy %": accuracies[1],
        "same images %": 100.0 * float(np.mean(differences <= TOLERANCE)),
        "ms": [1e3 * one for one in seconds[0]],
        "their ms": [1e3 * one for one in seconds[1]],
        "time ratio": [mine / other for mine, other in zip(*seconds, strict=True)],
    }


def _accuracy(model, x, y):
    logits = model.predict(x, batch_size=256, verbose=0)
    return 100.0 * float(np.mean(logits.argmax(axis=1) == y))


if __name__ == "__main__":
    sys.exit(main())
