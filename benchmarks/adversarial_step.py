"""Time of a step of adversarial training on the running backend, against plain steps.

`python -m benchmarks.adversarial_step` prints one line of JSON: the backend, and for plain `fit`
and for each attack of K steps the milliseconds of a training step, epoch by epoch, in turns.
"""

from __future__ import annotations

import argparse
import json

import numpy as np

from benchmarks import one_thread

BATCH, STEPS_PER_EPOCH, DISCARDED = 64, 8, 2
PLAIN = "plain"
#: Number of gradients of an attack by the name of the arm.
ATTACKS = {"FGSM": 1, "PGD, 5 steps": 5, "PGD, 10 steps": 10}
ARCHITECTURES = ("cnn", "mlp")


def measure(architecture: str, rounds: int) -> dict[str, list[float]]:
    """Milliseconds of a step by arm, one value for each round."""
    from benchmarks.interleave import interleave

    rng = np.random.default_rng(0)
    shape = (32, 32, 3) if architecture == "cnn" else (784,)
    x = rng.random((BATCH * STEPS_PER_EPOCH, *shape), dtype="float32")
    y = rng.integers(0, 10, len(x)).astype("int32")

    def training(name):
        def fit(timer):
            model = _trainer(name, _model(architecture, shape))
            epochs = rounds + DISCARDED
            model.fit(x, y, batch_size=BATCH, epochs=epochs, callbacks=[timer], verbose=0)

        return fit

    times = interleave({name: training(name) for name in (PLAIN, *ATTACKS)}, discard=DISCARDED)
    return {
        name: [1e3 * seconds / STEPS_PER_EPOCH for seconds in one.wall]
        for name, one in times.items()
    }


def _model(architecture, shape):
    import keras
    from keras import layers

    stack = [keras.Input(shape)]
    if architecture == "cnn":
        for filters in (16, 32, 64):
            stack.append(layers.Conv2D(filters, 3, strides=2, padding="same", activation="relu"))
            stack.append(layers.BatchNormalization())
        stack.append(layers.Flatten())
    else:
        stack += [layers.Dense(512, "relu"), layers.Dense(512, "relu")]
    return keras.Sequential([*stack, layers.Dense(10)])


def _trainer(name, model):
    import keras

    import keras_reweight as kr

    if name == "FGSM":
        model = kr.adversarial.AdversarialTraining(model, kr.attacks.FGSM(start="uniform"))
    elif name != PLAIN:
        attack = kr.attacks.PGD(steps=ATTACKS[name])
        model = kr.adversarial.AdversarialTraining(model, attack)
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def measure_in_process(backend: str, architecture: str, rounds: int) -> dict[str, list[float]]:
    """`measure` in a fresh process on the given backend, with one thread."""
    arguments = ("--rounds", str(rounds), "--architecture", architecture)
    return one_thread.milliseconds("benchmarks.adversarial_step", backend, *arguments)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10, help="timed epochs of each arm")
    parser.add_argument("--architecture", choices=ARCHITECTURES, default="cnn")
    arguments = parser.parse_args()
    import keras

    if keras.backend.backend() == "torch":
        import torch

        torch.set_num_threads(1)
    milliseconds = measure(arguments.architecture, arguments.rounds)
    print(json.dumps({"backend": keras.backend.backend(), "milliseconds": milliseconds}))


if __name__ == "__main__":
    main()
