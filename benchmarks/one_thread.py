"""A benchmark in a fresh process with one thread."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]


def milliseconds(module: str, backend: str, *arguments: str) -> dict[str, list[float]]:
    """What `python -m module` prints as `milliseconds` in its last line, on the given backend."""
    environment = {
        **os.environ,
        "KERAS_BACKEND": backend,
        "OMP_NUM_THREADS": "1",
        "TF_NUM_INTRAOP_THREADS": "1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed on {backend}:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])["milliseconds"]
