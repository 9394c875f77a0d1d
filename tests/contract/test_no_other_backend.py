"""On one backend nothing of ours imports another, not even when every method is constructed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from keras_reweight.core.testing.backends import other_backends

ROOT = Path(__file__).resolve().parent.parent.parent

PROGRAM = """
import sys

class Hiding:
    def __init__(self, finder):
        self.finder = finder

    def __getattr__(self, name):
        return getattr(self.finder, name)

    def find_spec(self, name, path=None, target=None):
        hidden = name.partition(".")[0] in sys.argv[1:]
        return None if hidden else self.finder.find_spec(name, path, target)

sys.meta_path[:] = map(Hiding, sys.meta_path)

import keras_compress, keras_reweight
from tests.contract.catalog import rows

made = [row.make() for row in rows() if row.is_class and row.kind not in ("base", "record")]
assert len(made) > 10
assert not set(sys.argv[1:]) & set(sys.modules), set(sys.modules) & set(sys.argv[1:])
"""


def test_every_class_is_made_while_the_other_backends_are_missing():
    command = [sys.executable, "-c", PROGRAM, *other_backends()]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
