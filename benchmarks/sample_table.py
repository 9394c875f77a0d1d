"""Time and memory of a `SampleTable`, by number of rows, in memory and in files.

`python -m benchmarks.sample_table ROWS [--mapped]` makes a table of two float16 columns in this
process, updates and gathers random batches, commits, and prints one line of JSON: mean milliseconds
of an update and of a gather, seconds to make the table and to commit it, and by how many megabytes
the memory of the process has grown at its largest (`resident`) and, where the system tells, without
the pages of files, which it can take back at any time (`own`). Each size needs a process of its
own, as in `benchmarks.memory`.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

import numpy as np

from benchmarks.step_time import ROOT

BATCH, ROWS = 128, (1_000_000, 100_000_000)
BATCHES, DISCARDED = 3000, 300


def measure_in_process(backend: str, rows: int, mapped: bool) -> dict[str, float]:
    """What a fresh process finds for one size."""
    command = [sys.executable, "-m", "benchmarks.sample_table", str(rows)]
    command += ["--mapped"] if mapped else []
    environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed on {backend}:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def measure(rows: int, directory: str | None) -> dict[str, float]:
    """Means over random batches, and the memory that the table takes."""
    from keras_reweight.data import SampleTable

    rng = np.random.default_rng(0)
    resident, own = largest_memory(), _own_memory()
    begin = time.perf_counter()
    # Values other than zero are written; zeros would be holes in the files.
    columns = {"weight": np.float16(1.0), "loss": np.float16(np.nan)}
    table = SampleTable(rows, columns, directory=directory)
    found = {"make": time.perf_counter() - begin, "resident_make": largest_memory() - resident}
    update, gather = [], []
    for _ in range(BATCHES):
        ids, losses = rng.integers(0, rows, BATCH), rng.random(BATCH)
        begin = time.perf_counter()
        table.update(ids, loss=losses)
        middle = time.perf_counter()
        table.gather(ids, "weight")
        update.append(middle - begin)
        gather.append(time.perf_counter() - middle)
    for name, times in (("update", update), ("gather", gather)):
        found[name] = 1e3 * float(np.mean(times[DISCARDED:]))
    if directory is not None:
        begin = time.perf_counter()
        table.commit()
        found["commit"] = time.perf_counter() - begin
    return {**found, "resident": largest_memory() - resident, "own": _own_memory() - own}


def largest_memory() -> float:
    """Megabytes that this process has had in memory at its largest."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Kilobytes on Linux, bytes on macOS.
    return peak / (1e6 if sys.platform == "darwin" else 1e3)


def _own_memory():
    status = pathlib.Path("/proc/self/status")
    lines = status.read_text(encoding="ascii").splitlines() if status.exists() else []
    kilobytes = [line.split()[1] for line in lines if line.startswith("RssAnon:")]
    return float(kilobytes[0]) / 1e3 if kilobytes else float("nan")


def report(backend: str) -> list[str]:
    """A table in Markdown: every size in memory and in files, ratios to the smaller size."""
    lines = [
        f"## Sample table, {backend}",
        "",
        f"Two float16 columns, random batches of {BATCH}; mean times, and megabytes by which the "
        "memory of the process grows: at its largest while the table is made and at all, and "
        "without the pages of files, which the system can take back.",
        "",
        "| | rows | update ms | gather ms | ratio of time | make MB | largest MB | own MB "
        "| make s | commit s |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for mapped in (False, True):
        smallest = None
        for rows in ROWS:
            found = measure_in_process(backend, rows, mapped)
            both = found["update"] + found["gather"]
            smallest = smallest or both
            lines.append(
                f"| {'in files' if mapped else 'in memory'} | {rows:,} | {found['update']:.4f} "
                f"| {found['gather']:.4f} | {both / smallest:.2f} | {found['resident_make']:.0f} "
                f"| {found['resident']:.0f} | {found['own']:.0f} | {found['make']:.2f} "
                f"| {found.get('commit', 0.0):.2f} |"
            )
    return [*lines, ""]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", type=int)
    parser.add_argument("--mapped", action="store_true", help="columns in files")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        place = f"{directory}/table" if arguments.mapped else None
        print(json.dumps(measure(arguments.rows, place)))


if __name__ == "__main__":
    main()
