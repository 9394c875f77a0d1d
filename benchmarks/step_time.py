"""Time of a training step with each method, as a ratio to plain `fit`, on the running backend.

`python -m benchmarks.step_time` prints one line of JSON: the backend, and for each method the
milliseconds of a step in every round, by the clock (`wall`) and of processor time (`cpu`).
`--suite pruning` measures what prunes, `--suite quantization` and `--suite convolutions` what
quantizes a dense and a convolutional network, and `--suite NAME` the losses of one task instead
(`benchmarks.loss_suites`).
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
STEPS_PER_EPOCH, DISCARDED = 64, 2
METHODS, PRUNING = "methods", "pruning"
QUANTIZATION, CONVOLUTIONS = "quantization", "convolutions"
BACKENDS = ("jax", "tensorflow", "torch")


def measure(rounds: int, suite: str = METHODS) -> dict[str, dict[str, list[float]]]:
    """Milliseconds of a step, one value for each round, by method and kind of time.

    The first method is the plain one.
    """
    from benchmarks.interleave import interleave

    of_methods = suite in (METHODS, PRUNING, QUANTIZATION, CONVOLUTIONS)
    trainings = _of_methods(suite, rounds) if of_methods else _of_losses(suite, rounds)
    times = interleave(trainings, discard=DISCARDED)
    return {
        name: {
            kind: [1e3 * seconds / STEPS_PER_EPOCH for seconds in values]
            for kind, values in dataclasses.asdict(one).items()
        }
        for name, one in times.items()
    }


def _of_methods(suite, rounds):
    from benchmarks import treatments as all_treatments

    treatments = {
        METHODS: all_treatments.TREATMENTS,
        PRUNING: all_treatments.PRUNING,
        QUANTIZATION: all_treatments.QUANTIZATION,
        CONVOLUTIONS: all_treatments.QUANTIZATION,
    }[suite]
    kind = "ConvolutionProblem" if suite == CONVOLUTIONS else "Problem"
    problem = getattr(all_treatments, kind)(STEPS_PER_EPOCH)

    def training(make):
        return lambda timer: make(problem).fit(rounds + DISCARDED, timer)

    return {name: training(make) for name, make in treatments.items()}


def _of_losses(name, rounds):
    from benchmarks.loss_suites import suites

    suite = suites()[name]

    def training(arm):
        return lambda timer: suite.training(arm, STEPS_PER_EPOCH)(rounds + DISCARDED, timer)

    return {arm: training(arm) for arm in suite.arms}


def measure_in_process(
    backend: str, rounds: int, suite: str = METHODS
) -> dict[str, dict[str, list[float]]]:
    """`measure` in a fresh process on the given backend."""
    environment = {
        **os.environ,
        "KERAS_BACKEND": backend,
        # One thread each: the ratio should not depend on how busy the other cores are.
        "OMP_NUM_THREADS": "1",
        "TF_NUM_INTRAOP_THREADS": "1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    command = [sys.executable, "-m", "benchmarks.step_time", "--rounds", str(rounds)]
    command += ["--suite", suite]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed on {backend}:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])["milliseconds"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="timed epochs of each method")
    parser.add_argument(
        "--suite", default=METHODS, help="the methods, what prunes or quantizes, a task of losses"
    )
    arguments = parser.parse_args()
    import keras

    if keras.backend.backend() == "torch":
        import torch

        torch.set_num_threads(1)
    milliseconds = measure(arguments.rounds, arguments.suite)
    print(json.dumps({"backend": keras.backend.backend(), "milliseconds": milliseconds}))


if __name__ == "__main__":
    main()
