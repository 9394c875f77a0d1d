"""Measure what the methods cost: `python -m benchmarks`, or `make bench`."""

from __future__ import annotations

import argparse
import importlib.util
import os
import pathlib
import sys

import numpy as np

from benchmarks import gradient_norms, memory, patching, sample_table, step_time, surgery

KINDS = ("step-time", "memory", "sample-table", "gradient-norms", "surgery", "patching")


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Time of a training step and memory of each method, as ratios to plain fit; "
        "time and memory of a sample table by its number of rows, of gradient norms, of "
        "structured pruning by the size of the model, and of patching a large one.",
    )
    parser.add_argument("--only", action="append", choices=KINDS, help="one kind; repeatable")
    parser.add_argument(
        "--backend",
        action="append",
        choices=step_time.BACKENDS,
        help="repeatable; by default the one that KERAS_BACKEND names, else all installed",
    )
    parser.add_argument("--rounds", type=int, default=25, help="timed epochs of each method")
    parser.add_argument("--quick", action="store_true", help="5 rounds")
    parser.add_argument("--out", type=pathlib.Path, help="file for the tables, as Markdown")
    arguments = parser.parse_args()
    if arguments.rounds < 1:
        parser.error(f"--rounds must be at least 1, got {arguments.rounds}")
    rounds = 5 if arguments.quick else arguments.rounds
    lines = []
    for backend in arguments.backend or _default_backends():
        for kind in arguments.only or KINDS:
            table = {
                "step-time": lambda backend: _step_time(backend, rounds),
                "memory": _memory,
                "sample-table": sample_table.report,
                "gradient-norms": lambda backend: gradient_norms.report(backend, rounds),
                "surgery": surgery.report,
                "patching": patching.report,
            }[kind](backend)
            print("\n".join(table), flush=True)
            lines += table
    if arguments.out is not None:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text("\n".join(lines), encoding="utf-8")
    return 0


def _default_backends():
    named = os.environ.get("KERAS_BACKEND")
    if named in step_time.BACKENDS:
        return [named]
    return [name for name in step_time.BACKENDS if importlib.util.find_spec(name) is not None]


def _step_time(backend, rounds):
    from benchmarks.treatments import PLAIN

    times = step_time.measure_in_process(backend, rounds)
    lines = [
        f"## Time per training step, {backend}",
        "",
        f"Median and quartiles of {rounds} rounds, 784-256-128-10 network, batches of 128.",
        "",
        "| | ms | ratio of time | ratio of CPU time |",
        "|---|---|---|---|",
    ]
    for name, values in times.items():
        ratios = [
            _quartiles(np.array(values[kind]) / times[PLAIN][kind]) for kind in ("wall", "cpu")
        ]
        lines.append(f"| {name} | {_quartiles(values['wall'])} | {' | '.join(ratios)} |")
    return [*lines, ""]


def _quartiles(values):
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


def _memory(backend):
    from benchmarks.treatments import PLAIN, TREATMENTS

    megabytes = {name: memory.measure_in_process(backend, name) for name in TREATMENTS}
    sizes = "-".join(map(str, (784, *memory.HIDDEN, 10)))
    lines = [
        f"## Largest resident memory, {backend}",
        "",
        f"{sizes} network, batches of 128, 2 epochs of 3 steps; the libraries themselves included.",
        "",
        "| | MB | ratio |",
        "|---|---|---|",
    ]
    for name, value in megabytes.items():
        lines.append(f"| {name} | {value:.0f} | {value / megabytes[PLAIN]:.2f} |")
    return [*lines, ""]


if __name__ == "__main__":
    sys.exit(main())
