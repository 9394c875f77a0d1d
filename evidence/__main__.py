"""Run the claims and write the report: `python -m evidence`, or `make evidence`."""

from __future__ import annotations

import argparse
import concurrent.futures
import json
import os
import pathlib
import subprocess
import sys
import tempfile

from evidence import store
from evidence.claims import ALONE, NAMES
from evidence.report import Outcome, render

ROOT = pathlib.Path(__file__).resolve().parents[1]
REPORT = ROOT / "docs" / "evidence.md"


def main() -> int:
    arguments = _arguments()
    names = [name for name in NAMES if not arguments.only or name in arguments.only]
    outcomes = {}

    def work(name):
        outcomes[name] = outcome = _measure(name, directory, arguments)
        print(
            f"{name}: criterion {outcome.verdict.strip('*')}, {outcome.seconds:.0f} s", flush=True
        )

    with tempfile.TemporaryDirectory() as directory:
        with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
            list(pool.map(work, [name for name in names if name not in ALONE]))
        for name in names:
            if name in ALONE:
                work(name)
    measured = [outcomes[name] for name in names]
    if arguments.quick:
        print(render(measured, quick=True))
    else:
        _write_report(arguments.out)
    for outcome in measured:
        if outcome.error:
            print(f"{outcome.name} failed:\n{outcome.error}", file=sys.stderr)
    # A quick run says whether the programs work, not whether the claims hold.
    good = [not outcome.error if arguments.quick else outcome.passed for outcome in measured]
    return 0 if all(good) else 1


def _write_report(path):
    """Everything measured last, whether in this run or before."""
    known = store.load(NAMES)
    text = render([Outcome.from_dict(name, known[name]) for name in known], quick=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    print(f"Wrote {path}.")


def _arguments():
    parser = argparse.ArgumentParser(
        prog="python -m evidence",
        description="Measure the claims. The exit status is 1 if a criterion is not met, or, with "
        "--quick, if a program fails.",
    )
    parser.add_argument("--data-dir", help="holds the data; else the variable KERAS_REWEIGHT_DATA")
    parser.add_argument("--only", action="append", choices=NAMES, help="one claim; repeatable")
    parser.add_argument("--seeds", type=int, help="number of seeds instead of the claims' own")
    parser.add_argument("--quick", action="store_true", help="small sizes, to check the programs")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument(
        "--out",
        type=pathlib.Path,
        default=REPORT,
        help="the report on all claims measured so far (default docs/evidence.md); a quick run "
        "writes to the terminal alone",
    )
    arguments = parser.parse_args()
    if arguments.seeds is not None and arguments.seeds < 1:
        parser.error(f"--seeds must be at least 1, got {arguments.seeds}")
    return arguments


def _measure(name, directory, arguments):
    """A claim in a fresh process: none disturbs another, and a crash is a result like others."""
    file = pathlib.Path(directory) / f"{name}.json"
    command = [sys.executable, "-m", "evidence._worker", name, str(file)]
    if arguments.data_dir:
        command += ["--data-dir", os.path.abspath(arguments.data_dir)]
    if arguments.seeds:
        command += ["--seeds", str(arguments.seeds)]
    if arguments.quick:
        command.append("--quick")
    done = subprocess.run(
        command, cwd=ROOT, env=_environment(directory), capture_output=True, text=True, check=False
    )
    if not file.is_file():
        return Outcome(name, 0.0, error=f"exit status {done.returncode}\n{done.stderr[-2000:]}")
    content = json.loads(file.read_text(encoding="utf-8"))
    outcome = Outcome.from_dict(name, dict(content))
    # What failed to run is no measurement; the last one stays.
    if not arguments.quick and not outcome.error:
        store.save(name, content)
    return outcome


def _environment(directory):
    environment = {"KERAS_BACKEND": "jax", "OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    # Every seed compiles the same steps again; compiled once, they come from here.
    environment["JAX_COMPILATION_CACHE_DIR"] = str(pathlib.Path(directory) / "compiled")
    environment["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    environment["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "0"
    return {**environment, **os.environ}


if __name__ == "__main__":
    sys.exit(main())
