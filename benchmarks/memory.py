"""Memory of training with each method, as a ratio to plain `fit`, on the running backend.

`python -m benchmarks.memory METHOD` trains in this process and prints the largest resident memory
in megabytes. Each method needs a process of its own: memory once taken is rarely given back.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys

from benchmarks.step_time import ROOT

# Large enough that the weights, their moments and what a method adds stand out: 25 million weights.
HIDDEN = (4096, 4096, 1024)


def measure_in_process(backend: str, name: str) -> float:
    """Largest resident memory in megabytes of a training in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.memory", name]
    environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed on {backend}:\n{done.stderr[-2000:]}")
    return float(done.stdout.splitlines()[-1])


def main() -> None:
    from benchmarks.treatments import TREATMENTS, Problem

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("method", choices=TREATMENTS)
    arguments = parser.parse_args()
    TREATMENTS[arguments.method](Problem(steps_per_epoch=3, hidden=HIDDEN)).fit(epochs=2)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Kilobytes on Linux, bytes on macOS.
    print(peak / (1e6 if sys.platform == "darwin" else 1e3))


if __name__ == "__main__":
    main()
