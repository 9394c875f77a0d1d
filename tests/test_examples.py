"""Every example runs, cut down, in a fresh process that can import no other backend."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import keras
import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = sorted((ROOT / "examples").glob("[!_]*.py"))
#: What a script must get besides its name; `{directory}` is a temporary one.
ARGUMENTS = {"quickstart.py": ["--out", "{directory}/quickstart.png"]}
BACKENDS = ("jax", "tensorflow", "torch")
# Only the import fails: some libraries look for others with `find_spec`, or in `sys.modules`.
RUN = """
import importlib.machinery, runpy, sys
_, blocked, script, *arguments = sys.argv

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in blocked.split(","):
            return importlib.machinery.ModuleSpec(name, self)

    def create_module(self, spec):
        raise ModuleNotFoundError(f"{spec.name} is blocked", name=spec.name)

    def exec_module(self, module):
        pass

sys.meta_path.insert(0, Blocker())
sys.argv = [script, *arguments]
runpy.run_path(script, run_name="__main__")
"""


def test_there_are_examples():
    assert len(SCRIPTS) >= 2
    assert set(ARGUMENTS) <= {script.name for script in SCRIPTS}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_example_runs_without_other_backends(script, tmp_path):
    blocked = [name for name in BACKENDS if name != keras.backend.backend()]
    arguments = [text.format(directory=tmp_path) for text in ARGUMENTS.get(script.name, [])]
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    environment = {
        **os.environ,
        "KERAS_BACKEND": keras.backend.backend(),
        "KERAS_REWEIGHT_SMOKE": "1",
        "PYTHONPATH": path,
        "TMPDIR": str(tmp_path),
    }
    done = subprocess.run(
        [sys.executable, "-c", RUN, ",".join(blocked), str(script), *arguments],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stdout.strip(), "an example must say what it found"
