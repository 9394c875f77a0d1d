"""Time of a step that balances several losses on the running backend, against plain steps.

`python -m benchmarks.balancing_step --tasks 4` prints one line of JSON: the backend, and for plain
`fit`, for `evaluate`, and for each way to balance the milliseconds of a step, epoch by epoch, in
turns.
"""

from __future__ import annotations

import argparse
import json

import numpy as np

from benchmarks import one_thread

BATCH, STEPS_PER_EPOCH, DISCARDED = 64, 8, 2
PLAIN, FORWARD = "plain", "forward"
#: Need the gradient of every loss.
OF_GRADIENTS = ("PCGrad", "MGDA", "CAGrad", "UPGrad", "GradNorm")
#: Need the values of the losses, in the wrapper and as a callback of plain `fit`.
WRAPPER, CALLBACK = "RECAP in LossBalancing", "RECAP in BalanceLosses"
OF_VALUES = (WRAPPER, CALLBACK)


def measure(tasks: int, rounds: int) -> dict[str, list[float]]:
    """Milliseconds of a step by arm, one value for each round."""
    from benchmarks.interleave import interleave

    rng = np.random.default_rng(0)
    x = rng.random((BATCH * STEPS_PER_EPOCH, 32, 32, 3), dtype="float32")
    y = {_name(k): rng.integers(0, 10, len(x)).astype("int32") for k in range(tasks)}
    epochs = rounds + DISCARDED

    def training(name):
        def fit(timer):
            trainer, callbacks = _trainer(name, tasks)
            callbacks = [timer, *callbacks]
            trainer.fit(x, y, batch_size=BATCH, epochs=epochs, callbacks=callbacks, verbose=0)

        return fit

    def forward(timer):
        model, _ = _trainer(PLAIN, tasks)
        for epoch in range(epochs):
            timer.on_epoch_begin(epoch)
            model.evaluate(x, y, batch_size=BATCH, verbose=0)
        timer.on_train_end()

    arms = {name: training(name) for name in (PLAIN, *OF_GRADIENTS, *OF_VALUES)}
    times = interleave({**arms, FORWARD: forward}, discard=DISCARDED)
    return {
        name: [1e3 * seconds / STEPS_PER_EPOCH for seconds in one.wall]
        for name, one in times.items()
    }


def _name(number):
    return f"task{number}"


def _model(tasks):
    import keras
    from keras import layers

    inputs = tensor = keras.Input((32, 32, 3))
    for number, filters in enumerate((16, 32, 64)):
        tensor = layers.Conv2D(
            filters, 3, strides=2, padding="same", activation="relu", name=f"conv{number}"
        )(tensor)
        tensor = layers.BatchNormalization(name=f"norm{number}")(tensor)
    tensor = layers.Flatten()(tensor)
    return keras.Model(
        inputs, {_name(k): layers.Dense(10, name=_name(k))(tensor) for k in range(tasks)}
    )


def _trainer(name, tasks):
    import keras

    import keras_reweight as kr

    model, callbacks = _model(tasks), []
    if name in OF_GRADIENTS:
        shared = [layer.name for layer in model.layers if layer.name.startswith(("conv", "norm"))]
        model = kr.tasks.LossBalancing(model, getattr(kr.tasks, name)(), shared=shared)
    elif name == WRAPPER:
        model = kr.tasks.LossBalancing(model, kr.tasks.RECAP())
    elif name == CALLBACK:
        callbacks = [kr.callbacks.BalanceLosses(kr.tasks.RECAP())]
    losses = {
        _name(k): keras.losses.SparseCategoricalCrossentropy(from_logits=True) for k in range(tasks)
    }
    model.compile(keras.optimizers.SGD(0.01), losses)
    return model, callbacks


def measure_in_process(backend: str, tasks: int, rounds: int) -> dict[str, list[float]]:
    """`measure` in a fresh process on the given backend, with one thread."""
    arguments = ("--rounds", str(rounds), "--tasks", str(tasks))
    return one_thread.milliseconds("benchmarks.balancing_step", backend, *arguments)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10, help="timed epochs of each arm")
    parser.add_argument("--tasks", type=int, default=2, help="number of losses")
    arguments = parser.parse_args()
    import keras

    if keras.backend.backend() == "torch":
        import torch

        torch.set_num_threads(1)
    milliseconds = measure(arguments.tasks, arguments.rounds)
    print(json.dumps({"backend": keras.backend.backend(), "milliseconds": milliseconds}))


if __name__ == "__main__":
    main()
