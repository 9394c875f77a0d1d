"""Runs the test suite once per Keras backend, then compares what the backends computed.

`python -m tests.run_backends --backends jax tensorflow torch -- <pytest arguments>`

Every backend runs even when an earlier one failed. One summary line per backend and one for the
comparison close the run; the exit code is non-zero when any of them failed. With pytest arguments
only a selection runs, and a selection that records no arrays leaves nothing to compare.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tests import parity, parity_record

BACKENDS = ("jax", "tensorflow", "torch")
PARITY_DIRECTORY = Path(".parity")
CLOSING_LINE = re.compile(r"=*\s*(?P<counts>(?:no tests ran|\d+ \w+).* in [\d.]+s.*?)\s*=*")
ANSI_CODE = re.compile(r"\x1b\[[0-9;]*m")


class Outcome(NamedTuple):
    """How one part of the run ended."""

    name: str
    exit_code: int
    summary: str

    def __str__(self) -> str:
        verdict = "ok" if self.exit_code == 0 else f"FAILED (exit code {self.exit_code})"
        return f"[{self.name}] {verdict}: {self.summary}"


def environment(backend: str, record_to: Path) -> dict[str, str]:
    """The environment of one backend's run; tiny tests gain nothing from threads."""
    return {
        "OMP_NUM_THREADS": "1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        **os.environ,
        "KERAS_BACKEND": backend,
        parity_record.ENVIRONMENT_VARIABLE: str(record_to.resolve()),
    }


def closing_line(output: str) -> str:
    """The counts of pytest's last line, such as `12 passed in 3.45s`."""
    for line in reversed(ANSI_CODE.sub("", output).splitlines()):
        match = CLOSING_LINE.fullmatch(line.strip())
        if match:
            return match["counts"]
    return "pytest printed no closing line"


def run_backend(backend: str, command: Sequence[str], record_to: Path) -> Outcome:
    """Run `command` for one backend, pass its output through, and remember how it closed."""
    for stale in parity.part_files(record_to):
        stale.unlink()
    print(f"\n##### {backend}: {' '.join(command)}", flush=True)
    started = time.perf_counter()
    tail = b""
    with subprocess.Popen(
        command,
        env=environment(backend, record_to),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        assert process.stdout is not None
        while chunk := os.read(process.stdout.fileno(), 65536):
            sys.stdout.buffer.write(chunk)
            sys.stdout.flush()
            tail = (tail + chunk)[-4096:]
    exit_code = process.returncode
    summary = closing_line(tail.decode(errors="replace"))
    return Outcome(backend, exit_code, f"{summary}, {time.perf_counter() - started:.0f} s in all")


def compare_backends(record_paths: Sequence[Path], selection: bool) -> Outcome:
    """Compare the recorded arrays; a whole run that recorded none has failed."""
    if len(record_paths) < 2:
        return Outcome("parity", 0, "one backend, nothing to compare with")
    if selection and not any(parity.part_files(path) for path in record_paths):
        return Outcome("parity", 0, "the selected tests record no arrays")
    print("\n##### parity", flush=True)
    exit_code = parity.main([str(path) for path in record_paths])
    return Outcome("parity", exit_code, "differences above" if exit_code else "backends agree")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.run_backends", description=__doc__)
    parser.add_argument("--backends", nargs="+", choices=BACKENDS, default=BACKENDS)
    parser.add_argument("--workers", type=int, default=2, help="default %(default)s")
    parser.add_argument("pytest_arguments", nargs="*", help="a selection, after --")
    options = parser.parse_args(arguments)

    command = [sys.executable, "-m", "pytest", "-n", str(options.workers), "--dist", "worksteal"]
    command += ["--color=yes"] if sys.stdout.isatty() else []
    command += options.pytest_arguments
    record_paths = [PARITY_DIRECTORY / f"{backend}.npz" for backend in options.backends]
    outcomes = [
        run_backend(backend, command, path)
        for backend, path in zip(options.backends, record_paths, strict=True)
    ]
    outcomes.append(compare_backends(record_paths, selection=bool(options.pytest_arguments)))
    print("\n##### summary")
    for outcome in outcomes:
        print(outcome, flush=True)
    return 1 if any(outcome.exit_code for outcome in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
