"""Time several trainings against each other on a machine that does other things too.

Each training runs in a thread of its own, but only one at a time: after every epoch it hands on.
So all of them see the same other load, and compiling is done once, not for every repetition.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Times:
    """Seconds of the epochs of one training, in the order of the rounds.

    `cpu` counts the processor time of the whole process, which other processes hardly disturb, but
    adds up what runs in parallel.
    """

    wall: list[float]
    cpu: list[float]


class _Runner:
    """One training; its `callback`, the first one of its `fit`, waits for its turn every epoch."""

    def __init__(self, train: Callable[[Any], None], base: type):
        # Begin to begin: what other callbacks do at the edges of an epoch counts.
        hooks = {
            "on_epoch_begin": lambda callback, epoch, logs=None: self._begin_epoch(),
            "on_train_end": lambda callback, logs=None: self._stop(),
        }
        self.callback = type("Turns", (base,), hooks)()
        self.seconds: list[float] = []
        self.cpu_seconds: list[float] = []
        self.finished = False
        self.error: BaseException | None = None
        self._train = train
        self._turn, self._done = threading.Semaphore(0), threading.Semaphore(0)
        self._began: tuple[float, float] | None = None
        # A daemon: after an error elsewhere nobody gives this thread a turn again.
        threading.Thread(target=self._work, daemon=True).start()

    def take_turn(self) -> None:
        """Let the training run one epoch, from the scheduler's thread."""
        self._turn.release()
        self._done.acquire()
        if self.error is not None:
            raise self.error

    def _work(self):
        self._turn.acquire()
        try:
            self._train(self.callback)
        except BaseException as error:
            self.error = error
        finally:
            self.finished = True
            self._done.release()

    def _begin_epoch(self):
        if self._began is not None:
            self._stop()
            self._done.release()
            self._turn.acquire()
        self._began = time.perf_counter(), time.process_time()

    def _stop(self):
        began, cpu_began = self._began
        self.seconds.append(time.perf_counter() - began)
        self.cpu_seconds.append(time.process_time() - cpu_began)


def interleave(
    trainings: Mapping[str, Callable[[Any], None]],
    *,
    discard: int = 2,
    seed: int = 0,
    base: type | None = None,
) -> dict[str, Times]:
    """Seconds of each epoch of each training, the first `discard` left out.

    Args:
        trainings: Name to a function that calls `fit` with the callback it gets as the first one.
            All of them must train for the same number of epochs.
        discard: Epochs at the start that do not count: compiling, first touches.
        seed: Of the order of the trainings within a round, which changes from round to round.
        base: Class of the callbacks; `None` takes that of Keras. (tf_keras has one of its own.)
    """
    if base is None:
        import keras

        base = keras.callbacks.Callback
    runners = {name: _Runner(train, base) for name, train in trainings.items()}
    order = np.random.default_rng(seed)
    names = list(runners)
    while not all(runner.finished for runner in runners.values()):
        for name in order.permutation(names):
            if not runners[name].finished:
                runners[name].take_turn()
    counts = {len(runner.seconds) for runner in runners.values()}
    if len(counts) != 1:
        raise ValueError(f"`trainings` ran different numbers of epochs: {sorted(counts)}.")
    return {
        name: Times(runner.seconds[discard:], runner.cpu_seconds[discard:])
        for name, runner in runners.items()
    }
