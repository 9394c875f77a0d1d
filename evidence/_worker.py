"""One claim in a process of its own: `python -m evidence._worker CLAIM FILE [options]`."""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import json
import os
import pathlib
import platform
import time
import traceback

_DISTRIBUTIONS = {"torch": "torch", "tensorflow": "tensorflow", "jax": "jax"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("claim")
    parser.add_argument("file", type=pathlib.Path)
    parser.add_argument("--data-dir")
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    began = time.perf_counter()
    outcome = {}
    try:
        outcome = _run(arguments)
    except Exception:  # The other claims still count; the report shows what happened to this one.
        outcome["error"] = traceback.format_exc()
    outcome["seconds"] = time.perf_counter() - began
    arguments.file.write_text(json.dumps(outcome), encoding="utf-8")


def _run(arguments):
    import keras

    from evidence.data import Data

    if keras.backend.backend() == "torch":
        import torch

        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    claim = importlib.import_module(f"evidence.{arguments.claim}")
    seeds = list(range(arguments.seeds or (1 if arguments.quick else claim.SEEDS)))
    result = claim.run(Data(arguments.data_dir), seeds, arguments.quick)
    return {"result": result.to_dict(), "seeds": seeds, "environment": _environment()}


def _environment():
    import keras

    backend = keras.backend.backend()
    versions = {
        name: importlib.metadata.version(name)
        for name in ("keras", _DISTRIBUTIONS[backend], "numpy")
    }
    return {
        "backend": backend,
        "versions": {**versions, "Python": platform.python_version()},
        "machine": f"{platform.machine()}, {os.cpu_count()} CPU cores",
    }


if __name__ == "__main__":
    main()
